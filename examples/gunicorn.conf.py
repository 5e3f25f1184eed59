"""Gunicorn settings of a production site, each with its reason.

Gunicorn reads this file by itself when started in this directory, else with ``-c``. The command line and
``GUNICORN_CMD_ARGS`` win over it. All settings: https://docs.gunicorn.org/en/stable/settings.html
"""

import multiprocessing
import os

# -- Where it listens --------------------------------------------------------------------------------

# Only this machine by default: a reverse proxy with TLS stands in front. A container sets
# BIND=0.0.0.0:8000. A unix socket ("unix:/run/example/gunicorn.sock") saves the TCP stack. Sockets
# inherited from systemd replace this setting.
bind = os.environ.get("BIND", "127.0.0.1:8000")

# Connections the kernel keeps while every worker is busy or being replaced. It also cuts the number at
# net.core.somaxconn, so raise that as well (4096 by default since Linux 5.4).
backlog = 2048

# -- Who serves --------------------------------------------------------------------------------------

# The event loop that runs the ASGI application.
worker_class = "pronghorn.AsyncWorker"

# One event loop uses one core, so more processes than cores only help code that blocks. 2 * cores + 1 is
# Gunicorn's rule of thumb for mixed code; set WORKERS to the number of cores for a purely asynchronous
# application, and always in a container, where the count below is that of the whole machine.
workers = int(os.environ.get("WORKERS", 2 * multiprocessing.cpu_count() + 1))

# Connections one worker holds at once, WebSockets and idle ones too. Beyond it connections wait in the
# backlog, where another worker can take them. It bounds memory and file descriptors: keep `ulimit -n` well
# above it.
worker_connections = 1000

# -- How long a worker lives -------------------------------------------------------------------------

# A worker is replaced after this many requests: slow leaks in the application or its libraries never add
# up. No request is lost in the change. The jitter keeps the workers from being replaced all at the same
# time.
max_requests = 10_000
max_requests_jitter = 1_000

# -- How long things may take ------------------------------------------------------------------------

# A worker whose event loop stands still for this long is killed and replaced. This is no limit on requests:
# one that awaits may take hours. High, because a blocking call in the application is bad, but a lost worker
# is worse.
timeout = 120

# What requests in flight get to finish after TERM, HUP or max_requests, application shutdown included.
# Whoever stops Gunicorn (systemd's TimeoutStopSec, Kubernetes' terminationGracePeriodSeconds) has to wait a
# little longer.
graceful_timeout = 30

# An idle connection is kept for this long. A proxy in front must close its idle connections earlier than
# this, or it will now and then send a request into a connection that is being closed (the files in deploy/
# do).
keepalive = 5

# -- What it logs ------------------------------------------------------------------------------------

# "-": the access log to standard output, the error log to standard error. systemd, Docker and Kubernetes
# collect both.
accesslog = "-"
errorlog = "-"
loglevel = os.environ.get("LOG_LEVEL", "info")

# Time, peer, client, request line, status, body bytes, milliseconds, agent, request id, worker. The peer is
# who opened the connection: the proxy, or nothing for a unix socket. The client is what the proxy says.
access_log_format = (
    '%(t)s peer=%(h)s client=%({x-forwarded-for}i)s "%(r)s" %(s)s %(B)s %(M)sms "%(a)s"'
    " id=%({x-request-id}i)s pid=%(p)s"
)

# -- The process -------------------------------------------------------------------------------------

# The name in `ps` and `top`. It takes effect where the package setproctitle is installed.
proc_name = "pronghorn-example"

# The file that a worker touches to show that it lives. On a disk that is busy, touching it could block the
# worker; /dev/shm is memory.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None

# Gunicorn 25.1 and newer make a socket for gunicornc in the home directory. A service account often has no
# home that it can write to, and nobody uses it here. Older versions do not know the setting and pass over
# it.
control_socket_disable = True
