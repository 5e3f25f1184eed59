"""WebSockets of clients and frameworks that others wrote, a browser among them.

What is not installed is skipped; ``tox -e ws-clients`` installs all but the browser, Debian's ``chromium``.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Serve
from tests.support.server import GunicornServer
from tests.support.wait import wait_until

SOCKETS = "tests.e2e.apps.sockets:app"
SECONDS = 30.0


def url(server: GunicornServer, path: str) -> str:
    return server.url.replace("http", "ws", 1) + path


def within(coroutine: Any) -> Any:
    async def run() -> Any:
        return await asyncio.wait_for(coroutine, SECONDS)

    return asyncio.run(run())


# -- clients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [0, 15])
def test_aiohttp(serve: Serve, compress: int) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    server = serve(SOCKETS)

    async def talk() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(url(server, "/echo"), compress=compress) as socket:
                await socket.send_str("é" * 10_000)
                assert await socket.receive_str() == "é" * 10_000
                await socket.send_bytes(bytes(100_000))
                assert await socket.receive_bytes() == bytes(100_000)
                await socket.ping(b"here?")
                await socket.close(code=4003, message=b"bye")
                assert socket.close_code == 4003
            async with session.ws_connect(url(server, "/close"), compress=compress) as socket:
                message = await socket.receive()
                assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4001, "genug ✓")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url(server, "/deny"))
            assert refused.value.status == 401

    within(talk())
    server.wait_trace("disconnect 4003 bye")


def test_httpx_ws(serve: Serve) -> None:
    """Its frames are wsproto's."""
    httpx_ws = pytest.importorskip("httpx_ws")
    server = serve(SOCKETS)
    with httpx_ws.connect_ws(server.url + "/echo") as socket:
        socket.send_text("é")
        assert socket.receive_text(timeout=SECONDS) == "é"
        socket.send_bytes(bytes(100_000))
        assert socket.receive_bytes(timeout=SECONDS) == bytes(100_000)
        socket.ping()
    with httpx_ws.connect_ws(server.url + "/close") as socket, pytest.raises(httpx_ws.WebSocketDisconnect) as closed:
        socket.receive_text(timeout=SECONDS)
    assert (closed.value.code, closed.value.reason) == (4001, "genug ✓")


# -- a browser ------------------------------------------------------------------------------------------------------

PAGE = """<!DOCTYPE html><title>sockets</title><script>
const base = location.href.replace("http", "ws").replace("/page", "");
const tell = (name, value) => fetch("/tell", {method: "POST", body: JSON.stringify([name, value])});
const open = (path, protocols) => new Promise((resolve, reject) => {
  const socket = new WebSocket(base + path, protocols || []);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => resolve(socket);
  socket.onclose = (event) => reject(event);
});
const next = (socket) => new Promise((resolve) => { socket.onmessage = (event) => resolve(event.data); });
const closed = (socket) => new Promise((resolve) => { socket.onclose = resolve; });
async function run() {
  let socket = await open("/echo");
  await tell("extensions", socket.extensions);
  socket.send("h\\u00e9llo \\u{1F600}".repeat(1000));
  await tell("text", (await next(socket)) === "h\\u00e9llo \\u{1F600}".repeat(1000));
  const bytes = new Uint8Array(300000).map((_, i) => i * 7);
  socket.send(bytes);
  const back = new Uint8Array(await next(socket));
  await tell("binary", back.length === bytes.length && back.every((value, i) => value === bytes[i]));
  let over = closed(socket);
  socket.close(4005, "from the page");
  let event = await over;
  await tell("close", [event.code, event.reason, event.wasClean]);
  socket = await open("/offer", ["one", "two"]);
  await tell("subprotocol", socket.protocol);
  socket.close();
  socket = await open("/close");
  event = await closed(socket);
  await tell("closed", [event.code, event.reason, event.wasClean]);
  event = await open("/reject").catch((event) => event);
  await tell("rejected", event.code);
  socket = await open("/echo");
  over = closed(socket);
  await tell("waits", true);
  event = await over;
  await tell("restart", [event.code, event.reason, event.wasClean]);
  for (;;) {
    try { socket = await open("/echo"); break; } catch { await new Promise((done) => setTimeout(done, 100)); }
  }
  socket.send("again");
  await tell("reconnected", await next(socket));
}
run().catch((error) => tell("failed", String(error)));
</script>"""

BROWSED = f"""
import json
from tests.e2e.apps.sockets import app as sockets
from tests.e2e.apps.trace import trace

PAGE = {PAGE.encode()!r}

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        return await sockets(scope, receive, send)
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    if body:
        trace("told", body.decode())
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]}})
    await send({{"type": "http.response.body", "body": PAGE if scope["path"] == "/page" else b""}})
"""
#: Without these a browser asks its maker's hosts at every start.
_QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
]  # fmt: skip


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Any]:
    """``browse(address)`` opens a page in a browser that ends with the test."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no chromium: Debian's package of that name")
    started: list[subprocess.Popen[bytes]] = []

    def start(address: str) -> None:
        command = [chromium, *_QUIET, f"--user-data-dir={tmp_path / 'browser'}", "--remote-debugging-port=0", address]
        with (tmp_path / "browser.log").open("wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))

    yield start
    for process in started:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_a_browser(serve: Serve, browse: Any) -> None:
    server = serve(source=BROWSED, environment={"PRONGHORN_WEBSOCKET_RESTART_SPREAD": "0"})
    browse(server.url + "/page")

    def told(name: str) -> Any:
        for line in server.traced():
            if line.startswith("told "):
                found, value = json.loads(line.removeprefix("told ").rpartition(" ")[0])
                assert found != "failed", value
                if found == name:
                    return [value]
        return None

    wait_until(lambda: told("waits"), 60, lambda: f"the page; traced: {server.traced()}\n{server.log()}")
    assert told("extensions")[0].startswith("permessage-deflate")
    assert told("text") == [True]
    assert told("binary") == [True]
    assert told("close") == [[4005, "from the page", True]]
    assert told("subprotocol") == ["two"]
    assert told("closed") == [[4001, "genug ✓", True]]
    assert told("rejected") == [1006]
    server.signal(signal.SIGHUP)
    wait_until(lambda: told("reconnected"), 60, lambda: f"the page comes back; traced: {server.traced()}")
    assert told("restart") == [[1012, "Service restart", True]]
    assert told("reconnected") == ["again"]


# -- frameworks -----------------------------------------------------------------------------------------------------

SOCKETIO = """
import socketio

server = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(server)

@server.event
async def connect(sid, environ):
    await server.emit("welcome", {"path": environ["PATH_INFO"]}, to=sid)

@server.event
async def add(sid, numbers):
    return sum(numbers)
"""


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]], ids=["websocket", "upgrade"])
def test_socketio(serve: Serve, transports: list[str]) -> None:
    socketio = pytest.importorskip("socketio")
    pytest.importorskip("aiohttp")
    server = serve(source=SOCKETIO)

    async def talk() -> None:
        client = socketio.AsyncClient()
        welcome = asyncio.get_running_loop().create_future()
        client.on("welcome", lambda data: welcome.set_result(data))
        await client.connect(server.url, transports=transports)
        assert (await welcome)["path"] == "/socket.io/"
        assert await client.call("add", [1, 2, 3]) == 6
        assert await client.call("add", list(range(20_000))) == 199_990_000
        assert client.transport() == "websocket"
        await client.disconnect()

    within(talk())
    assert "Traceback" not in server.log()


CHANNELS = """
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()
from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path
from django.utils.safestring import mark_safe

urlpatterns = []

class Chat(AsyncJsonWebsocketConsumer):
    groups = ["all"]

    async def receive_json(self, content):
        await self.channel_layer.group_send("all", {"type": "said", "content": content})

    async def said(self, event):
        await self.send_json(event["content"])

class Shout(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=mark_safe(text_data.upper()), close=4004)

class Closed(WebsocketConsumer):
    def connect(self):
        self.close()

app = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "websocket": URLRouter([
        path("chat", Chat.as_asgi()), path("shout", Shout.as_asgi()), path("closed", Closed.as_asgi())
    ]),
})
"""


def test_channels(serve: Serve) -> None:
    pytest.importorskip("channels")
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    server = serve(source=CHANNELS)
    with connect(url(server, "/chat"), proxy=None) as one, connect(url(server, "/chat"), proxy=None) as two:
        two.send('{"a": 0}')
        assert json.loads(two.recv(timeout=SECONDS)) == {"a": 0}
        one.send('{"a": 1}')
        for client in (one, two):
            found = [json.loads(client.recv(timeout=SECONDS))]
            if found == [{"a": 0}]:
                found = [json.loads(client.recv(timeout=SECONDS))]
            assert found == [{"a": 1}]
    with connect(url(server, "/shout"), proxy=None) as client:
        client.send("loud")
        assert client.recv(timeout=SECONDS) == "LOUD"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4004
    with pytest.raises(InvalidStatus) as refused, connect(url(server, "/closed"), proxy=None):
        pass
    assert refused.value.response.status_code == 403
    assert "Traceback" not in server.log()
