"""Behind proxies and over TLS, seen from outside: forwarding fields, PROXY headers, certificates."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.raw import RawClient, request_bytes
from tests.support.server import GunicornServer
from tests.support.versions import needs_gunicorn
from tests.support.wait import wait_until

Serve = Callable[..., GunicornServer]

SOURCE = """
import base64
import hashlib
import json

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    names = ("type", "scheme", "client", "server", "path", "root_path")
    document = {name: scope[name] for name in names}
    document["host"] = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    document["tls"] = scope["extensions"].get("tls")
    body = json.dumps(document).encode()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept", "headers": [(b"x-scope", body)]})
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 198, 51, 100, 2, 0xDC, 0x04, 0x01, 0xBB])
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
V2_UNKNOWN = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"
V2_TLS = V2[:14] + b"\0\x14" + V2[16:] + b"\x20\0\5\1\0\0\0\0"
V2_UNIX = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8" + b"/run/client".ljust(108, b"\0") + b"/run/front".ljust(108, b"\0")
#: The server of tests that need no other.
APP, SETTINGS = "main:app", {"source": SOURCE}
FORWARDED = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")


def scope(server: GunicornServer, *fields: str, target: str = "/") -> dict[str, Any]:
    response = server.get(target, *fields)
    assert response.status == 200, response
    return response.json()


# -- forwarding fields ------------------------------------------------------------------------------------------------


def test_by_default_a_proxy_on_this_machine_is_believed(serve: Serve) -> None:
    """What a site behind nginx has with UvicornWorker; the access log shows the peer, as Gunicorn documents it."""
    server = serve(source=SOURCE, accesslog="-", access_log_format="LINE %(h)s %({wsgi.url_scheme}e)s %(U)s")
    document = scope(server, *FORWARDED)
    assert document["client"] == ["203.0.113.9", 0]
    assert document["scheme"] == "https"
    assert document["server"] == list(server.address)
    assert document["host"] == ["test"]
    server.wait_log(r"LINE 127\.0\.0\.1 https /$")
    document = scope(server)
    assert document["client"][0] == "127.0.0.1"
    assert document["scheme"] == "http"


def test_each_request_of_a_connection_has_its_own_client(server: GunicornServer) -> None:
    with server.connect() as client:
        for host in ("203.0.113.1", "203.0.113.2"):
            document = client.request("GET", "/", f"X-Forwarded-For: {host}").json()
            assert document["client"] == [host, 0]
        assert client.request("GET", "/").json()["client"] == ["127.0.0.1", client.port]


def test_a_proxy_on_a_unix_socket_is_believed(serve: Serve, tmp_path: Path) -> None:
    server = serve(source=SOURCE, bind=f"unix:{tmp_path / 'app.sock'}", forwarded_allow_ips="10.0.0.1")
    document = scope(server, *FORWARDED)
    assert document["client"] == ["203.0.113.9", 0]
    assert document["scheme"] == "https"
    assert scope(server)["client"] is None


def test_nobody_else_is(serve: Serve) -> None:
    server = serve(source=SOURCE, forwarded_allow_ips="10.0.0.1")
    document = scope(server, *FORWARDED, "SCRIPT_NAME: /app", target="/app/x")
    assert document["client"][0] == "127.0.0.1"
    assert document["scheme"] == "http"
    assert document["root_path"] == ""


def test_contradictory_fields(serve: Serve) -> None:
    server = serve(source=SOURCE, accesslog="-")
    response = server.get("/", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off")
    assert response.status == 400
    server.wait_log(r"Invalid request from ip=127\.0\.0\.1: Contradictory scheme headers")
    server.wait_log(r'"GET / HTTP/1\.1" 400 ')


def test_script_name(serve: Serve) -> None:
    server = serve(source=SOURCE, accesslog="-", access_log_format="LINE %({script_name}e)s %(U)s")
    for target, rest in (("/app/x", "/x"), ("/y", "/y")):
        document = scope(server, "SCRIPT_NAME: /app", target=target)
        assert (document["root_path"], document["path"]) == ("/app", f"/app{rest}")
        server.wait_log(rf"LINE /app {rest}$")
    assert scope(server, target="/app/x")["root_path"] == ""


def test_the_scheme_of_a_websocket(server: GunicornServer) -> None:
    fields = (
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    for forwarded, scheme in (((), "ws"), (FORWARDED, "wss")):
        with server.connect() as client:
            client.send(request_bytes("GET", "/", *fields, *forwarded))
            head = client.read_until(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b'"scheme": "%b"' % scheme.encode() in head


def test_host_port_and_prefix_are_opted_in(server: GunicornServer, serve: Serve) -> None:
    fields = ("X-Forwarded-Host: example.com", "X-Forwarded-Port: 8443", "X-Forwarded-Prefix: /app", *FORWARDED)
    assert scope(server, *fields)["host"] == ["test"]
    environment = {"PRONGHORN_FORWARDED_PARTS": "for, proto, host, port, prefix"}
    document = scope(serve(source=SOURCE, environment=environment), *fields)
    assert document["host"] == ["example.com:8443"]
    assert (document["root_path"], document["path"]) == ("/app", "/app/")


def test_the_forwarded_field(serve: Serve) -> None:
    server = serve(source=SOURCE, environment={"PRONGHORN_FORWARDED": "forwarded"})
    document = scope(server, "Forwarded: for=203.0.113.7;proto=https", *FORWARDED)
    assert document["client"] == ["203.0.113.7", 0]
    assert document["scheme"] == "https"
    assert scope(server, *FORWARDED)["scheme"] == "http"


def test_no_family(serve: Serve) -> None:
    document = scope(serve(source=SOURCE, environment={"PRONGHORN_FORWARDED": "none"}), *FORWARDED)
    assert document["client"][0] == "127.0.0.1"
    assert document["scheme"] == "http"


@pytest.mark.parametrize("name", ["PRONGHORN_FORWARDED", "PRONGHORN_FORWARDED_PARTS"])
def test_a_wrong_option_stops_the_server(serve: Serve, name: str) -> None:
    server = serve(source=SOURCE, environment={name: "nonsense"}, ready=False)
    assert server.wait_exit() != 0
    server.wait_log(r"'nonsense'.*use (one|some) of ")


# -- PROXY headers ----------------------------------------------------------------------------------------------------

modes = needs_gunicorn(24, 1)


def announced(server: GunicornServer, header: bytes, *fields: str, path: str = "/") -> dict[str, Any]:
    with server.connect() as client:
        client.send(header + request_bytes("GET", path, *fields))
        response = client.read_response()
        assert response.status == 200, response
        return {**response.json(), "port": client.port if isinstance(server.address, tuple) else None}


@modes
def test_proxy_header(serve: Serve) -> None:
    server = serve(
        source=SOURCE, proxy_protocol="auto", accesslog="-", access_log_format="LINE %(h)s %({remote_port}e)s %(U)s"
    )
    for header, path in ((V1, "/v1"), (V2, "/v2")):
        document = announced(server, header, path=path)
        assert document["client"] == ["203.0.113.7", 56324]
        assert document["server"] == ["198.51.100.2", 443]
        assert document["scheme"] == "http"
        server.wait_log(rf"LINE 203\.0\.113\.7 56324 {path}$")
    # Without one, and with one that tells nothing, the connection's own addresses hold.
    for other in (b"", V2_LOCAL, V2_UNKNOWN, b"PROXY UNKNOWN\r\n"):
        document = announced(server, other)
        assert document["client"] == ["127.0.0.1", document["port"]]
        assert document["server"] == list(server.address)


@modes
def test_proxy_header_and_more(serve: Serve) -> None:
    server = serve(source=SOURCE, proxy_protocol="v2")
    assert announced(server, V2_TLS)["scheme"] == "https"
    document = announced(server, V2_UNIX)
    assert document["client"] is None
    assert document["server"] == ["/run/front", None]
    # A request that is sent slowly, and one that begins as a header would.
    with server.connect() as client:
        client.send_slowly(V2 + request_bytes("GET", "/"))
        assert client.read_response().json()["client"] == ["203.0.113.7", 56324]
    with server.connect() as client:
        client.send_slowly(b"\r\n\r\n" + request_bytes("GET", "/"))
        assert client.read_response().json()["client"] == ["127.0.0.1", client.port]


@modes
def test_who_speaks_http_has_to_be_trusted(serve: Serve) -> None:
    """A proxy that only adds a PROXY header passes the client's own fields on."""
    server = serve(source=SOURCE, proxy_protocol="auto")
    for header in (V1, V2, V2_UNKNOWN, V2_UNIX):
        document = announced(server, header, *FORWARDED)
        assert document["client"] != ["203.0.113.9", 0]
        assert document["scheme"] == "http"
    for header in (b"", V2_LOCAL):
        assert announced(server, header, *FORWARDED)["client"] == ["203.0.113.9", 0]
    server = serve(source=SOURCE, proxy_protocol="auto", forwarded_allow_ips="203.0.113.7")
    assert announced(server, V1, *FORWARDED)["client"] == ["203.0.113.9", 0]


@modes
def test_refused_proxy_headers(serve: Serve) -> None:
    server = serve(source=SOURCE, proxy_protocol="auto", proxy_allow_ips="10.0.0.1", accesslog="-")
    for header in (V1, V2):
        with server.connect() as client:
            client.send(header + request_bytes("GET", "/"))
            assert client.read_response().status == 403
            client.assert_closed()
    server.wait_log(r"Invalid request from ip=127\.0\.0\.1: PROXY header from .* \(proxy_allow_ips=10\.0\.0\.1\)")
    assert announced(server, b"")["client"][0] == "127.0.0.1"
    server = serve(source=SOURCE, proxy_protocol="v1")
    with server.connect() as client:
        client.send(b"PROXY TCP4 what\r\n" + request_bytes("GET", "/"))
        assert client.read_response().status == 400
        client.assert_closed()
    server.wait_log(r"Invalid request from ip=127\.0\.0\.1: Invalid PROXY header \(proxy_protocol=v1\)")
    with server.connect() as client:  # the other version is no header here
        client.send(V2 + request_bytes("GET", "/"))
        assert client.read_response().status == 400


@modes
def test_proxy_header_on_a_unix_socket(serve: Serve, tmp_path: Path) -> None:
    server = serve(
        source=SOURCE, proxy_protocol="auto", bind=f"unix:{tmp_path / 'app.sock'}", proxy_allow_ips="10.0.0.1"
    )
    assert announced(server, V1)["client"] == ["203.0.113.7", 56324]
    assert announced(server, b"")["client"] is None


def test_without_the_setting_it_is_a_bad_request(server: GunicornServer) -> None:
    with server.connect() as client:
        client.send(V1 + request_bytes("GET", "/"))
        assert client.read_response().status == 400


@modes
def test_a_silent_peer_is_not_waited_for(serve: Serve) -> None:
    server = serve(source=SOURCE, proxy_protocol="auto", environment={"PRONGHORN_HEADER_TIMEOUT": "0.5"})
    for sent in (b"", V1[:20], V2[:20]):
        with server.connect() as client:
            client.send(sent)
            client.assert_closed()
    assert announced(server, V1)["client"] == ["203.0.113.7", 56324]


@modes
def test_a_silent_peer_does_not_hold_up_the_end(serve: Serve) -> None:
    server = serve(source=SOURCE, proxy_protocol="auto", graceful_timeout=60)
    with server.connect() as client:
        client.send(V1[:20])
        assert announced(server, V1)  # by now the other one is waited for
        assert server.stop(timeout=20) == 0


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


def over_tls(server: GunicornServer, context: ssl.SSLContext, header: bytes = b"") -> tuple[dict[str, Any], str]:
    """The scope, and the certificate that the client was shown."""
    with RawClient(server.address) as client:
        client.send(header)
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        shown = client.sock.getpeercert(binary_form=True)
        response = client.request("GET", "/")
        assert response.status == 200
        return response.json(), ssl.DER_cert_to_PEM_cert(shown)


def test_the_tls_extension(serve: Serve, certificates: Certificates) -> None:
    server = serve(source=SOURCE, cert_reqs=1, ca_certs=str(certificates.ca_certs), **certificates.settings)
    document, shown = over_tls(server, certificates.context())
    assert document["scheme"] == "https"
    assert document["tls"]["server_cert"] == shown
    assert document["tls"]["client_cert_chain"] == []
    assert document["tls"]["tls_version"] == 0x0304
    someone = certificates.people.issue_cert("someone@example.com", common_name="Some One")
    document, _ = over_tls(server, certificates.context(someone))
    assert "CN=Some One" in document["tls"]["client_cert_name"]
    leaf = ssl.PEM_cert_to_DER_cert(someone.cert_chain_pems[0].bytes().decode())
    assert document["tls"]["client_cert_chain"] == [ssl.DER_cert_to_PEM_cert(leaf)]


def test_no_tls_extension_without_tls(server: GunicornServer) -> None:
    assert scope(server, *FORWARDED)["tls"] is None


def test_a_certificate_is_required(serve: Serve, certificates: Certificates) -> None:
    server = serve(source=SOURCE, cert_reqs=2, ca_certs=str(certificates.ca_certs), **certificates.settings)
    context = certificates.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the client hears of it within the handshake
    with pytest.raises(ssl.SSLError):
        over_tls(server, context)
    over_tls(server, certificates.context(certificates.people.issue_cert("someone@example.com")))


def test_a_certificate_that_changes_on_disk(serve: Serve, certificates: Certificates) -> None:
    config = "import pronghorn.tls\npronghorn.tls.INTERVAL = 0.5\n"
    server = serve(source=SOURCE, config=config, **certificates.settings)
    context = certificates.context()
    old = over_tls(server, context)[1]
    certificates.keyfile.write_text("nonsense")
    server.wait_log("stay in use", timeout=60)
    assert over_tls(server, context)[1] == old
    certificates.write()
    wait_until(lambda: over_tls(server, context)[1] != old, 60, lambda: "the new certificate")
    document, shown = over_tls(server, context)
    assert document["tls"]["server_cert"] == shown == certificates.pem()
    assert len(server.worker_pids()) == 1


@modes
def test_proxy_header_before_tls(serve: Serve, certificates: Certificates) -> None:
    server = serve(source=SOURCE, proxy_protocol="auto", **certificates.settings)
    for header in (V1, V2, b""):
        document, _ = over_tls(server, certificates.context(), header)
        assert document["client"][0] == ("203.0.113.7" if header else "127.0.0.1")
        assert document["scheme"] == "https"
        assert document["tls"] is not None


@modes
def test_refused_proxy_header_before_tls(serve: Serve, certificates: Certificates) -> None:
    server = serve(source=SOURCE, proxy_protocol="auto", proxy_allow_ips="10.0.0.1", **certificates.settings)
    with pytest.raises((ssl.SSLError, OSError)):
        over_tls(server, certificates.context(), V1)
    server.wait_log(r"Invalid request from ip=127\.0\.0\.1: PROXY header from .* \(proxy_allow_ips=10\.0\.0\.1\)")
    over_tls(server, certificates.context())


@pytest.mark.parametrize("broken", ["keyfile", "certfile"])
def test_tls_that_does_not_work_stops_the_server(serve: Serve, certificates: Certificates, broken: str) -> None:
    """It never serves in plain text."""
    getattr(certificates, broken).write_text("nonsense")
    server = serve(source=SOURCE, ready=False, **certificates.settings)
    assert server.wait_exit() == 3
    server.wait_log("TLS is not usable")


@needs_gunicorn(21)
def test_a_hook_that_fails_stops_the_server(serve: Serve, certificates: Certificates) -> None:
    config = "def ssl_context(conf, default):\n    raise RuntimeError('from the hook')\n"
    server = serve(source=SOURCE, ready=False, config=config, **certificates.settings)
    assert server.wait_exit() == 3
    server.wait_log("TLS is not usable.*from the hook")


def test_the_client_in_the_access_log(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    for text in ("LINE %(h)s %({asgi.client}e)s|", "LINE %(h)s %({asgi.client}e)1s|"):  # compiled, and Gunicorn's own
        bind = ["127.0.0.1:0", f"unix:{path}"]
        server = serve(source=SOURCE, accesslog="-", access_log_format=text, bind=bind)
        server.get("/", "X-Forwarded-For: 198.51.100.7, 203.0.113.9")
        server.wait_log(r"^LINE 127\.0\.0\.1 203\.0\.113\.9\|$")
        server.get("/")
        server.wait_log(r"^LINE 127\.0\.0\.1 127\.0\.0\.1\|$")
        server.get("/", "X-Forwarded-For: 203.0.113.8", address=path)
        server.wait_log(r"^LINE - 203\.0\.113\.8\|$")
        server.get("/", address=path)
        server.wait_log(r"^LINE - -\|$")
        server.stop()
