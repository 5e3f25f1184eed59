"""Pronghorn: a Gunicorn worker class for ASGI applications.

``gunicorn -k pronghorn.AsyncWorker main:app``
"""

from pronghorn._version import __version__
from pronghorn.build import compiled
from pronghorn.settings import Options
from pronghorn.worker import AsyncWorker

__all__ = ["AsyncWorker", "Options", "__version__", "compiled"]
