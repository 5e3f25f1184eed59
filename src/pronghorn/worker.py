"""The Gunicorn worker: the process side of Pronghorn.

Owns the loop, the signals, the heartbeat and the exit codes that Gunicorn's arbiter expects; what is served is
``server.py``'s.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import gunicorn
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from pronghorn import uvicornloggers
from pronghorn._version import __version__
from pronghorn.accesslog import AccessLog
from pronghorn.application import NoAsgiApplication, servable
from pronghorn.build import compiled
from pronghorn.errorpage import ErrorPage
from pronghorn.escapes import ESCAPING, Escapes
from pronghorn.hooks import RequestHooks
from pronghorn.leftovers import end_tasks, leave_threads
from pronghorn.lifespan import LifespanFailed
from pronghorn.notices import notices, outdated_uvloop
from pronghorn.patches import patched_threads, unpatchable_loop
from pronghorn.scoreboard import Scoreboard, identity_of
from pronghorn.server import Server
from pronghorn.settings import Options, SettingError, Settings
from pronghorn.signals import Signals
from pronghorn.tls import ServerTls
from pronghorn.uvicornkwargs import apply_kwargs
from pronghorn.watchdog import Watchdog, requests_under_way, stack_of

#: Seconds between two beats; the arbiter looks about once a second.
_HEARTBEAT = 0.5
#: Seconds for what the application left behind, where no time of graceful_timeout is left.
_LEAST_END = 0.2
#: Exit codes of a worker that end the master, and with it the server: they are for what keeps a worker from booting.
_MASTER_ENDS = (Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR)


class AsyncWorker(Worker):
    """A Gunicorn worker that serves an ASGI application.

    Use it as ``worker_class``. Subclass it to set options that Gunicorn does not have::

        class Worker(pronghorn.AsyncWorker):
            options = pronghorn.Options(request_timeout=30)
    """

    options: Options = Options()
    #: Settings under uvicorn's names, for subclasses that were written for UvicornWorker.
    CONFIG_KWARGS: dict[str, Any] = {}

    loop: asyncio.AbstractEventLoop
    wsgi: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._server: Server | None = None
        self._watchdog: Watchdog | None = None
        self._serving = False
        self._exit_code = 0
        self._nr = 0
        super().__init__(*args, **kwargs)
        # In the master, before the fork. With reuse_port the listeners come after it, and are this worker's alone.
        self._row = Scoreboard.of_this_process().reserve(self, identity_of(self.sockets))
        self._own_listeners = not self.sockets

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse, in the master and before any worker starts, what cannot be served. Called by Gunicorn."""
        try:
            settings = cls._read_settings(cfg)
        except SettingError as error:
            log.error("%s", error)
            raise SystemExit(1) from None
        reason = patched_threads()  # by the configuration, or an application with preload_app
        if reason:
            log.error("%s", reason)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR)
        for line in notices(cfg.settings, {**os.environ, **cfg.env}, Options.variables()):
            log.warning("%s", line)
        if fault := outdated_uvloop(settings.loop):
            log.warning("%s", fault)
        if not compiled:
            log.warning("Pronghorn runs uncompiled, at a fraction of its speed: install it with a C compiler present")

    @classmethod
    def _read_settings(cls, cfg: Any) -> Settings:
        environ = dict(os.environ)
        environ.update(cfg.env)
        options, cfg = apply_kwargs(cls.CONFIG_KWARGS, Options.checked(cls.options, cls.__qualname__), cfg)
        return Settings.from_gunicorn(cfg, options.with_environment(environ))

    @property
    def nr(self) -> int:
        """Requests begun so far, as Gunicorn's workers count them."""
        return self._nr if self._server is None else self._server.context.requests

    @nr.setter
    def nr(self, value: int) -> None:
        self._nr = value

    # -- boot -------------------------------------------------------------------------------------------------------

    def init_process(self) -> None:
        """Make the loop before the application is imported and ``post_worker_init`` runs, then go on as Gunicorn."""
        beating = _beat_while_booting(self)
        uvicornloggers.lead_to(self.log)
        if self._row is not None:
            self._row.open()
        try:
            settings = self._read_settings(self.cfg)
        except SettingError as error:
            self.log.error("%s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        self._settings = settings
        self._open_loop()
        self._booting = beating
        super().init_process()

    def _open_loop(self) -> None:
        self.loop = _make_loop(self._settings.loop, self.log)
        self._executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self.loop.set_default_executor(self._executor)
        asyncio.set_event_loop(self.loop)
        self._signals = Signals(
            self.loop,
            self.log,
            self,
            {
                signal.SIGTERM: self._stop,
                signal.SIGINT: self._quit,
                signal.SIGQUIT: self._quit,
                signal.SIGUSR1: self.log.reopen_files,
            },
        )

    def load_wsgi(self) -> None:
        """Load the application and, still within the boot, all that may fail without it."""
        try:
            self.wsgi = self.app.wsgi()
        except SyntaxError as error:
            if not self.cfg.reload:
                raise
            self.log.exception("The application cannot be read; it is tried again when the file changes")
            self.wsgi = ErrorPage(error, self._settings.reload_error_page)
            if self.reloader is not None:
                for filename in _files_of(error):
                    self.reloader.add_extra_file(filename)
        except ValueError as error:
            self._refuse_to_boot(unpatchable_loop(error))
            raise
        except (SystemExit, KeyboardInterrupt) as error:
            if self.alive:  # else Gunicorn's own, for the worker was told to end
                # Gunicorn would start another worker at once, and so on for ever.
                self.log.exception("The application ended the worker while it was imported: %r", error)
                sys.exit(Arbiter.WORKER_BOOT_ERROR)
            raise
        self._refuse_to_boot(patched_threads())
        if self.loop.is_closed():  # by the application, which took it for its own
            self._open_loop()
        else:
            asyncio.set_event_loop(self.loop)  # ``asyncio.run`` leaves none behind
        try:
            self.wsgi = servable(self.wsgi, str(getattr(self.app, "app_uri", None) or "The application"))
        except NoAsgiApplication as error:
            self.log.error("%s", error)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        try:
            self._tls = ServerTls.from_gunicorn(self.cfg, self.log)
        except Exception as error:
            files = f"certfile={self.cfg.certfile!r}, keyfile={self.cfg.keyfile!r}"
            self.log.error("TLS is not usable (%s): %s", files, error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _refuse_to_boot(self, reason: str) -> None:
        """End with the code that stops the server, unless ``reason`` is empty."""
        if reason:
            self.log.error("%s", reason)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    # -- run --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to stop; return, so that ``worker_exit`` and ``atexit`` run."""
        escapes = Escapes(self.loop, self.log, lambda: self._serving and not self._exit_code)
        try:
            escapes.run(self.loop.create_task(self._serve()))
        except LifespanFailed as error:
            self.log.error("Application startup failed: %s", error)
            self._exit_code = Arbiter.WORKER_BOOT_ERROR
        except (Exception, *ESCAPING) as error:
            if self._serving and isinstance(error, SystemExit) and error.code in _MASTER_ENDS:
                raise SystemExit(1) from error
            if self._serving or not self.alive:
                raise
            # Gunicorn would start another worker at once, and so on for ever.
            self.log.exception("Worker could not begin to serve: %s", error or type(error).__name__)
            self._exit_code = Arbiter.WORKER_BOOT_ERROR
        finally:
            try:
                self._end(escapes)
            except Exception:
                if not self._exit_code:
                    raise
                # The code must stay what it is: for any other Gunicorn would start another worker.
                self.log.exception("Worker could not end in order")
        if self._exit_code:
            sys.exit(self._exit_code)

    async def _serve(self) -> None:
        server = Server(
            self.wsgi,
            self._settings,
            self.log,
            self.sockets,
            self._tls,
            row=self._row,
            own_listeners=self._own_listeners,
        )
        self._server = server
        context = server.context
        context.max_requests = self.max_requests
        context.on_limit = self._on_limit
        access_log = AccessLog.of(self.log, self.cfg, self.loop.call_soon)
        hooks = RequestHooks(self, access_log, self.cfg.pre_request, self.cfg.post_request)
        hooks.install(context)
        self._watchdog = Watchdog(
            self.log,
            period=_HEARTBEAT,
            warn_after=self._settings.blocked_loop_warning,
            timeout=self.cfg.timeout,
            exchanges=server.exchanges,
        )
        self._watch_signals()
        if not self.alive:
            server.stop(told_at=self._told_at)
        self._beat()
        try:
            await server.serve(self._on_ready)
        finally:
            hooks.flush()

    def _on_ready(self) -> None:
        self._serving = True
        self._booting.set()
        loop = type(self.loop).__module__.partition(".")[0]
        self.log.info(
            "Pronghorn %s (%s) serves HTTP/1.1%s on %s",
            __version__,
            "compiled" if compiled else "not compiled",
            " over TLS" if self._tls is not None else "",
            loop,
        )
        assert self._watchdog is not None
        self._watchdog.start()
        self.notify()

    def _beat(self) -> None:
        """Tell the arbiter that the loop turns; see that the arbiter lives, and whether somebody wants an end.

        Gunicorn's patience begins with the first ``notify``: an application that takes its time to start, be it in one
        piece, is not ended for it.
        """
        if self._serving:
            self.notify()
            self._signals.check()
            if self._watchdog is not None:
                self._watchdog.beat()
        if self._tls is not None:
            self._tls.check(self.loop.time())
        if self.ppid != os.getppid() and self.alive:
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False
        if self._server is not None:
            self._server.beat()
            if not self.alive:
                self._server.stop()
        self.loop.call_later(_HEARTBEAT, self._beat)

    def _on_limit(self) -> None:
        if self.alive:
            self.log.info("Autorestarting worker after current request.")
            if self._server is not None:
                self._server.retire()

    def _stop(self, quick: bool = False) -> None:
        self.alive = False
        if self._server is not None:
            self._server.stop(quick)

    def _end(self, escapes: Escapes) -> None:
        """End what the application left, and be heard by the arbiter until then."""
        self._booting.set()
        if self._row is not None:
            self._row.free()
        try:
            end_tasks(self.loop, self._executor, self._time_left(), escapes.run)
        finally:
            escapes.flush()
            if self._watchdog is not None:
                self._watchdog.stop()
            self._signals.ignore()
            asyncio.set_event_loop(None)
            self.loop.close()
            leave_threads(self.log, self._time_left(), self._exit_code)

    def _time_left(self) -> float:
        return _LEAST_END if self._server is None else max(self._server.time_left, _LEAST_END)

    # -- signals ----------------------------------------------------------------------------------------------------

    def _watch_signals(self) -> None:
        """From here on the loop hears the signals; before, Gunicorn's own handlers from ``init_signals`` do.

        SIGABRT stays with ``signal.signal``: it has to run when the loop is blocked.
        """
        self._signals.watch()
        self.loop.add_reader(self.PIPE[0], self._on_pipe)

    def _quit(self) -> None:
        if self.alive or not self._quitting:
            self._quitting = True
            try:
                self.cfg.worker_int(self)
            finally:
                self._stop(quick=True)
        else:
            self._stop(quick=True)

    _quitting = False
    _told_at = 0.0

    def _on_pipe(self) -> None:
        """The reloader, which runs in a thread of its own, wrote: look at ``alive``."""
        try:
            os.read(self.PIPE[0], 4096)
        except BlockingIOError:
            return
        if not self.alive:
            self._stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM before the loop runs, while the application is imported: the time for everything counts from now."""
        self._told_at = time.monotonic()
        super().handle_exit(sig, frame)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT, from the arbiter when the heartbeat stopped: say where the loop is stuck, then end with code 1."""
        self._exit_code = 1
        exchanges = [] if self._server is None else self._server.exchanges()
        self.log.error(
            "Worker (pid:%s) is told to abort. It is here:\n%s%s",
            self.pid,
            stack_of(frame),
            requests_under_way(exchanges, time.monotonic()),
        )
        self._stop(quick=True)
        super().handle_abort(sig, frame)


def _files_of(error: SyntaxError) -> set[str]:
    """The file that cannot be read, and those that wanted it: a change to any may be what mends it."""
    files = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)}
    return {name for name in files | {error.filename or ""} if os.path.isfile(name)}


def _make_loop(kind: str, log: Any) -> asyncio.AbstractEventLoop:
    if kind == "asyncio":
        return asyncio.new_event_loop()
    try:
        import uvloop
    except ImportError:
        if kind == "uvloop":
            log.warning("uvloop is not installed: using asyncio's own event loop, which is slower")
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _beat_while_booting(worker: AsyncWorker) -> threading.Event:
    """Beat from a thread until the returned event is set, where the arbiter's patience covers the boot as well.

    Gunicorn before 22 kills a worker that does not beat for ``timeout`` seconds even while it imports the
    application; later versions begin to watch with the first beat.
    """
    done = threading.Event()
    if gunicorn.version_info < (22,):
        threading.Thread(target=_beat_until, args=(worker, done), name="boot heartbeat", daemon=True).start()
    return done


def _beat_until(worker: AsyncWorker, done: threading.Event) -> None:
    while not done.wait(_HEARTBEAT):
        worker.notify()
