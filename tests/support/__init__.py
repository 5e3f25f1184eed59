"""What the tests share: a Gunicorn process to talk to, a strict raw HTTP client, waiting with a deadline.

The black-box parts import nothing of the package under test, so that the same tests can be pointed at any
worker class.
"""
