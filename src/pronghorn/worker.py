"""The Gunicorn worker: the process side of Pronghorn.

Owns the loop, the signals, the heartbeat and the exit codes that Gunicorn's arbiter expects; what is served is
``server.py``'s.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import gunicorn
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError
from gunicorn.workers.base import Worker

from pronghorn import uvicornloggers
from pronghorn._version import __version__
from pronghorn.accesslog import AccessLog
from pronghorn.application import NoAsgiApplication, servable
from pronghorn.boot import BootFailure, FirstFailure, files_behind, files_missing, wait_for_end, wait_for_end_in_loop
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
        #: Files that would mend an import which failed, where ``reload`` waits for them.
        self._awaited: list[str] = []
        super().__init__(*args, **kwargs)
        # In the master, before the fork. With reuse_port the listeners come after it, and are this worker's alone.
        self._row = Scoreboard.of_this_process().reserve(self, identity_of(self.sockets))
        self._own_listeners = not self.sockets
        self._first_failure = _first_failure_of_this_process()

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
            self.wsgi = self._load_application()
            self._tls = self._load_tls()
        except BootFailure as failure:
            if self._is_to_tell(failure):
                sys.exit(failure.code)
            wait_for_end(self, self._first_failure)
            sys.exit(0)

    def _load_application(self) -> Any:
        try:
            app = self.app.wsgi()
        except Exception as error:
            if not self.cfg.reload:
                raise _load_failure(error) from None
            return self._page_of(error)
        except (SystemExit, KeyboardInterrupt) as error:
            if not self.alive:  # Gunicorn's own, for the worker was told to end
                raise
            # Gunicorn would start another worker at once, and so on for ever.
            line = f"The application ended the worker while it was imported: {error!r}"
            raise BootFailure(Arbiter.WORKER_BOOT_ERROR, line, error) from None
        if reason := patched_threads():
            raise BootFailure(Arbiter.WORKER_BOOT_ERROR, reason)
        if self.loop.is_closed():  # by the application, which took it for its own
            self._open_loop()
        else:
            asyncio.set_event_loop(self.loop)  # ``asyncio.run`` leaves none behind
        try:
            return servable(app, str(getattr(self.app, "app_uri", None) or "The application"))
        except NoAsgiApplication as error:
            raise BootFailure(Arbiter.APP_LOAD_ERROR, str(error)) from None

    def _load_tls(self) -> ServerTls | None:
        try:
            return ServerTls.from_gunicorn(self.cfg, self.log)
        except Exception as error:
            files = f"certfile={self.cfg.certfile!r}, keyfile={self.cfg.keyfile!r}"
            raise BootFailure(Arbiter.WORKER_BOOT_ERROR, f"TLS is not usable ({files}): {error}") from None

    def _page_of(self, error: BaseException) -> ErrorPage:
        """What is served where the application cannot be, until the file changes that is to blame."""
        says_it_all = isinstance(error, (AppImportError, LifespanFailed))
        self.log.error(
            "The application cannot be loaded; it is tried again when a file changes%s",
            f": {error}" if says_it_all else "",
            exc_info=None if says_it_all else error,
        )
        error.__suppress_context__ = says_it_all
        self._awaited = files_missing(error)
        if self.reloader is not None:
            for filename in files_behind(error):
                self.reloader.add_extra_file(filename)
        return ErrorPage(error, self._settings.reload_error_page)

    def _is_to_tell(self, failure: BootFailure) -> bool:
        """Log ``failure``, where no other worker has said why none can boot."""
        if not self._first_failure.is_mine():
            return False
        self.log.error("%s", failure.line, exc_info=failure.cause)
        return True

    # -- run --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to stop; return, so that ``worker_exit`` and ``atexit`` run."""
        escapes = Escapes(self.loop, self.log, lambda: self._serving and not self._exit_code)
        try:
            escapes.run(self.loop.create_task(self._serve()))
        except LifespanFailed as error:
            self._give_up(BootFailure(Arbiter.WORKER_BOOT_ERROR, f"Application startup failed: {error}"))
        except (Exception, *ESCAPING) as error:
            if self._serving and isinstance(error, SystemExit) and error.code in _MASTER_ENDS:
                raise SystemExit(1) from error
            if self._serving or not self.alive:
                raise
            # Gunicorn would start another worker at once, and so on for ever.
            line = f"Worker could not begin to serve: {error or type(error).__name__}"
            self._give_up(BootFailure(Arbiter.WORKER_BOOT_ERROR, line, error))
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

    def _give_up(self, failure: BootFailure) -> None:
        """Log ``failure`` and keep its code for the end, unless another worker has done so and the master knows."""
        if self._is_to_tell(failure):
            self._exit_code = failure.code
        else:
            self.loop.run_until_complete(wait_for_end_in_loop(self, self._first_failure))

    async def _serve(self) -> None:
        server, hooks = self._open_server()
        self._watch_signals()
        if not self.alive:
            server.stop(told_at=self._told_at)
        self._beat()
        try:
            try:
                await server.serve(self._on_ready)
            except LifespanFailed as error:
                if not self.cfg.reload:
                    raise
                self.wsgi = self._page_of(error)
                server, hooks = self._open_server()
                await server.serve(self._on_ready)
        finally:
            hooks.flush()

    def _open_server(self) -> tuple[Server, RequestHooks]:
        """Make the server for ``wsgi``, and what watches it."""
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
        return server, hooks

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
        if self._awaited and self.alive and any(map(os.path.exists, self._awaited)):
            self.log.info("Worker reloading: a module that was missing is there")
            self.alive = False
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
        if not self.alive and self._server is not None:
            self._server.reload()

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


def _load_failure(error: Exception) -> BootFailure:
    """Why the application could not be imported."""
    if isinstance(error, AppImportError):  # of Gunicorn's own words: no such attribute, or no callable
        return BootFailure(Arbiter.APP_LOAD_ERROR, str(error))
    if reason := unpatchable_loop(error):
        return BootFailure(Arbiter.WORKER_BOOT_ERROR, reason)
    return BootFailure(Arbiter.WORKER_BOOT_ERROR, "The application cannot be loaded", error)


@functools.cache
def _first_failure_of_this_process() -> FirstFailure:
    """The master's, made before it forks its first worker."""
    return FirstFailure()


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
