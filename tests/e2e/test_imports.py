"""What an application does when it is imported: the server boots, or ends with one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.support.server import GunicornServer

Serve = Callable[..., GunicornServer]

APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})
"""
RUN = "import asyncio\nasync def work(): await asyncio.sleep(0)\n"

BOOTS = {
    "a run": RUN + "asyncio.run(work())",
    "a run in the loop at hand": RUN + "asyncio.get_event_loop().run_until_complete(work())",
    "a loop of its own": "import asyncio\nasyncio.set_event_loop(asyncio.new_event_loop())",
    "no loop": "import asyncio\nasyncio.set_event_loop(None)",
    "the loop closed": "import asyncio\nasyncio.get_event_loop().close()",
    "a policy": "import asyncio\nasyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())",
    "gevent, threads left alone": (
        "import sys, types\nsys.modules['gevent.monkey'] = types.SimpleNamespace(is_module_patched='time'.__eq__)"
    ),
}

#: Stand-ins for packages that need not be installed, with what is asked of the real ones.
FAKES = """
import sys

class monkey:
    is_module_patched = {"threading", "_thread", "time"}.__contains__

class patcher:
    is_monkey_patched = {"thread": True}.get
"""
NEST = """
import asyncio
def apply(loop=None):
    loop = loop or asyncio.get_event_loop()
    if not isinstance(loop, asyncio.BaseEventLoop):
        raise ValueError(f"Can't patch loop of type {type(loop)}")
"""
SIGNALS = """
import asyncio
def refuse(*args): raise RuntimeError("no signals here")
loop = asyncio.get_event_loop()
loop.add_signal_handler = loop.remove_signal_handler = refuse
"""

#: The source, the loop, and the line.
REFUSED = {
    "gevent": (f"{FAKES}\nsys.modules['gevent.monkey'] = monkey", "auto", r"gevent has replaced Python's threads .*"),
    "eventlet": (f"{FAKES}\nsys.modules['eventlet.patcher'] = patcher", "auto", r"eventlet has replaced Python's .*"),
    "nest_asyncio": (
        "import nest_asyncio\nnest_asyncio.apply()",
        "uvloop",
        r"nest_asyncio\.apply\(\) cannot patch this event loop .*set the option loop=\"asyncio\" .*",
    ),
    "an exit": ("import sys\nsys.exit(0)", "auto", r"The application ended the worker while .*: SystemExit\(0\)"),
    "an interrupt": ("raise KeyboardInterrupt", "auto", r"The application ended the worker .*: KeyboardInterrupt\(\)"),
    "signals": (SIGNALS, "asyncio", r"Worker could not begin to serve: no signals here"),
}


def test_loops_and_policies_do_no_harm(serve: Serve) -> None:
    for name, source in BOOTS.items():
        server = serve(source=f"{source}\n{APP}")
        assert server.get("/").status == 200, name
        assert server.stop() == 0, name
        assert "Traceback" not in server.log(), name


def test_what_cannot_be_served_with_is_one_line(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "nest_asyncio.py").write_text(NEST)
    for name, (source, loop, line) in REFUSED.items():
        path = str(tmp_path)
        server = serve(source=f"{source}\n{APP}", environment={"PRONGHORN_LOOP": loop}, pythonpath=path, ready=False)
        assert server.wait_exit() == 3, name
        assert len(re.findall(rf"\[ERROR\] {line}$", server.log(), re.MULTILINE)) == 1, server.log()
        assert server.log().count("Booting worker") == 1, name
        if name in ("gevent", "eventlet", "nest_asyncio"):
            assert "Traceback" not in server.log(), name


def test_threads_that_are_replaced_in_the_master(serve: Serve) -> None:
    """Its workers could not be seen to end."""
    source = f"{FAKES}\nsys.modules['gevent.monkey'] = monkey\n"
    for options in ({"source": source + APP, "preload_app": True}, {"source": APP, "config": source}):
        server = serve(**options, ready=False)
        assert server.wait_exit() == 3
        assert len(re.findall(r"\[ERROR\] gevent has replaced Python's threads", server.log())) == 1
        assert "Booting worker" not in server.log()
        assert "Traceback" not in server.log()


def test_nest_asyncio_boots_with_the_loop_that_the_line_names(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "nest_asyncio.py").write_text(NEST)
    source = f"import nest_asyncio\nnest_asyncio.apply()\n{APP}"
    server = serve(source=source, environment={"PRONGHORN_LOOP": "asyncio"}, pythonpath=str(tmp_path))
    assert server.get("/").status == 200
