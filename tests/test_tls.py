"""TLS with throw-away certificates: contexts from Gunicorn's settings, rotation of files, the ASGI extension."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from gunicorn import sock as gunicorn_sock
from gunicorn.config import Config

from pronghorn.asgi.tls_extension import cipher_suites, tls_extension
from pronghorn.tls import ALPN, INTERVAL, ServerTls, TlsError, is_plain_http, make_context
from tests.support.certificates import Log, Site, client_context, handshake, identity, leaf_of
from tests.support.loops import fresh_loop

LONG = 30.0
TELLS_CHAIN = sys.version_info >= (3, 13)
needs_hook = pytest.mark.skipif(not hasattr(gunicorn_sock, "ssl_context"), reason="this Gunicorn has no such hook")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def site(tmp_path: Path, authority: trustme.CA) -> Site:
    return Site(tmp_path, authority)


# -- contexts from settings -------------------------------------------------------------------------------------------


def test_a_context_as_configured(site: Site) -> None:
    context = make_context(site.config(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    assert context.verify_mode == ssl.CERT_NONE
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" not in {suite["name"] for suite in context.get_ciphers()}
    client = client_context(site.authority)
    client.set_alpn_protocols([*ALPN, "h2"])
    assert handshake(context, client)[1].selected_alpn_protocol() == ALPN[0]


def test_no_tls() -> None:
    assert ServerTls.from_gunicorn(Config(), Log()) is None


def test_certificate_and_key_in_one_file(site: Site) -> None:
    site.certfile.write_bytes(site.keyfile.read_bytes() + site.certfile.read_bytes())
    handshake(make_context(site.config(keyfile=None)), client_context(site.authority))


@needs_hook
def test_the_hook_makes_the_context(site: Site) -> None:
    def hook(conf: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        assert conf.certfile == str(site.certfile)
        context = default()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    server, _ = handshake(make_context(site.config(ssl_context=hook)), client_context(site.authority))
    assert server.version() == "TLSv1.2"


@needs_hook
def test_gunicorn_without_a_construction_of_its_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gunicorn 20.1 has neither ``sock.ssl_context`` nor the hook."""
    cfg = site.config(cert_reqs=2, ca_certs=str(site.ca_certs), ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    expected = make_context(cfg)
    monkeypatch.delattr(gunicorn_sock, "ssl_context")
    found = make_context(cfg)
    for name in ("verify_mode", "minimum_version", "maximum_version", "options", "check_hostname", "verify_flags"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.get_ciphers() == expected.get_ciphers()
    assert found.get_ca_certs() == expected.get_ca_certs()


def fails(_: Config, __: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    raise RuntimeError("from the hook")


def returns_nothing(_: Config, __: Callable[[], ssl.SSLContext]) -> None:
    return None


@pytest.mark.parametrize(
    ("settings", "broken", "error"),
    [
        ({"certfile": "/nonexistent"}, "", OSError),
        ({"keyfile": "/nonexistent"}, "", OSError),
        ({"ca_certs": "/nonexistent", "cert_reqs": 2}, "", OSError),
        ({"ciphers": "NONSENSE"}, "", ssl.SSLError),
        ({"certfile": None}, "", TlsError),
        ({"keyfile": None}, "", ssl.SSLError),
        pytest.param({"ssl_context": fails}, "", RuntimeError, marks=needs_hook),
        pytest.param({"ssl_context": returns_nothing}, "", TlsError, marks=needs_hook),
        ({"cert_reqs": 2}, "", TlsError),
        ({}, "certfile", ssl.SSLError),
        ({}, "keyfile", ssl.SSLError),
        ({}, "mismatch", ssl.SSLError),
    ],
)
def test_whatever_is_wrong_raises(site: Site, settings: dict[str, Any], broken: str, error: type[Exception]) -> None:
    """Nothing of it may end as a server in plain text."""
    if broken == "mismatch":
        site.authority.issue_cert("localhost").private_key_pem.write_to_path(site.keyfile)
    elif broken:
        getattr(site, broken).write_text("nonsense")
    cfg = site.config(**settings)
    with pytest.raises(error):
        make_context(cfg)
    with pytest.raises(error):
        ServerTls.from_gunicorn(cfg, Log())


def test_optional_certificates_without_authorities(site: Site) -> None:
    log = Log()
    site.tls(log, cert_reqs=1)
    assert [(level, "ca_certs" in line) for level, line in log.lines] == [("warning", True)]
    log = Log()
    site.tls(log, cert_reqs=1, ca_certs=str(site.ca_certs))
    assert not log.lines


# -- what is none -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n",
        b"VERSION-CONTROL /x HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"GET http://localhost/ HTTP/1.1\r\n",
        b"CONNECT localhost:443 HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ],
)
def test_a_request_line_is_plain_http(first: bytes) -> None:
    """From its first byte on."""
    assert all(is_plain_http(first[:size]) for size in range(1, len(first) + 1))


@pytest.mark.parametrize(
    "first",
    [b"", b"\x16\3\1", b"\x15\3\3", b"\x80\x2e\1", b"SSH-2.0-x\r\n", b"EHLO x", b"get / HTTP/1.1", b"\r\n", b"G\0"],
)
def test_what_is_no_plain_http(first: bytes) -> None:
    assert not is_plain_http(first)


# -- files that change ------------------------------------------------------------------------------------------------


class Looks:
    """Calls ``check`` once per interval."""

    def __init__(self, tls: ServerTls) -> None:
        self.tls = tls
        self.now = 1000.0

    def __call__(self, count: int = 1) -> list[bool]:
        results = []
        for _ in range(count):
            self.now += INTERVAL
            results.append(self.tls.check(self.now))
        return results


def presented(tls: ServerTls, authority: trustme.CA) -> str:
    """The certificate that a new connection gets to see."""
    certificate = handshake(tls.context, client_context(authority))[1].getpeercert(binary_form=True)
    assert certificate is not None
    return ssl.DER_cert_to_PEM_cert(certificate)


def test_files_that_do_not_change(site: Site) -> None:
    log = Log()
    tls = site.tls(log)
    context = tls.context
    assert Looks(tls)(5) == [False] * 5
    assert tls.context is context
    assert not log.lines


def test_a_new_certificate_is_taken_up_when_the_files_have_settled(site: Site) -> None:
    log = Log()
    tls = site.tls(log)
    look = Looks(tls)
    look()
    old = presented(tls, site.authority)
    site.write()
    assert look() == [False]
    assert presented(tls, site.authority) == old
    assert look() == [True]
    assert presented(tls, site.authority) == site.pem() != old
    assert look(3) == [False] * 3
    assert log.levels() == ["info"]
    assert "cert.pem" in log.lines[0][1]


def test_files_are_not_looked_at_more_often_than_that(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = site.tls()
    stats = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, *args, **kwargs: stats.append(path) or real(path, *args, **kwargs))
    now = 1000.0
    tls.check(now)
    first = [path for path in stats if str(path).endswith(".pem")]
    assert first
    stats.clear()
    for _ in range(10):
        assert not tls.check(now + INTERVAL * 0.99)
    assert not [path for path in stats if str(path).endswith(".pem")]
    tls.check(now + INTERVAL)
    assert [path for path in stats if str(path).endswith(".pem")] == first


def test_certificate_and_key_written_one_after_the_other(site: Site) -> None:
    """Between the two they do not belong together; that is not even tried."""
    log = Log()
    tls = site.tls(log)
    look = Looks(tls)
    look()
    new = site.authority.issue_cert("localhost")
    site.certfile.write_bytes(new.cert_chain_pems[0].bytes())
    assert look() == [False]
    new.private_key_pem.write_to_path(site.keyfile)
    assert look(2) == [False, True]
    assert log.levels() == ["info"]
    assert presented(tls, site.authority) == site.pem()


@pytest.mark.parametrize("what", ["certfile", "keyfile", "mismatch", "missing"])
def test_broken_files_leave_the_old_context_in_use(site: Site, what: str) -> None:
    log = Log()
    tls = site.tls(log)
    look = Looks(tls)
    look()
    old, context = presented(tls, site.authority), tls.context
    if what == "mismatch":
        site.certfile.write_bytes(site.authority.issue_cert("localhost").cert_chain_pems[0].bytes())
    elif what == "missing":
        site.keyfile.unlink()
    else:
        getattr(site, what).write_text("-----BEGIN NONSENSE-----\n")
    assert look(4) == [False] * 4
    assert tls.context is context
    assert presented(tls, site.authority) == old
    assert log.levels() == ["error"]  # once, not at every look
    assert "stay in use" in log.lines[0][1]
    site.write()
    assert look(2) == [False, True]
    assert presented(tls, site.authority) == site.pem() != old


def test_symbolic_links_that_are_swapped(site: Site, tmp_path: Path) -> None:
    """How Kubernetes and certbot rotate: the path stays, its target is another."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        site.write()
        site.certfile.rename(tmp_path / version / "cert.pem")
        site.keyfile.rename(tmp_path / version / "key.pem")
    (tmp_path / "live").symlink_to("one")
    site.certfile, site.keyfile = tmp_path / "live" / "cert.pem", tmp_path / "live" / "key.pem"
    tls = site.tls()
    look = Looks(tls)
    look()
    old = presented(tls, site.authority)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "live")
    assert look(2) == [False, True]
    assert presented(tls, site.authority) == site.pem() != old


def test_authorities_of_clients_that_change(site: Site) -> None:
    other = trustme.CA()
    tls = site.tls(cert_reqs=2, ca_certs=str(site.ca_certs))
    look = Looks(tls)
    look()
    identity = other.issue_cert("someone@example.com")
    client = client_context(site.authority, identity)
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # here the client, too, hears of the failure at once
    with pytest.raises(ssl.SSLError):
        handshake(tls.context, client)
    other.cert_pem.write_to_path(site.ca_certs)
    assert look(2) == [False, True]
    handshake(tls.context, client)


@needs_hook
def test_the_hook_runs_again(site: Site) -> None:
    made = []

    def hook(conf: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        if len(made) == 1:
            made.append(None)
            raise RuntimeError("from the hook")
        made.append(default())
        return made[-1]

    log = Log()
    tls = site.tls(log, ssl_context=hook)
    look = Looks(tls)
    look()
    assert made == [tls.context]
    site.write()
    assert look(3) == [False] * 3
    assert log.levels() == ["error"]
    assert "from the hook" in log.lines[0][1]
    assert tls.context is made[0]
    site.write()
    assert look(2) == [False, True]
    assert tls.context is made[2]


def test_files_that_change_while_they_are_read(site: Site) -> None:
    def make() -> ssl.SSLContext:
        context = make_context(site.config())
        while writes:
            writes.pop()()
        return context

    writes: list[Callable[[], Any]] = []
    tls = ServerTls(make, {"certfile": str(site.certfile), "keyfile": str(site.keyfile)}, Log())
    look = Looks(tls)
    look()
    writes.append(site.write)
    site.write()
    assert look(2) == [False, False]
    assert look(2) == [False, True]
    assert presented(tls, site.authority) == site.pem()


def test_files_that_change_between_boot_and_the_first_look(site: Site) -> None:
    tls = site.tls()
    site.write()
    assert Looks(tls)(2) == [False, True]
    assert presented(tls, site.authority) == site.pem()


# -- the ASGI extension -----------------------------------------------------------------------------------------------

KEYS = {"server_cert", "client_cert_chain", "client_cert_name", "client_cert_error", "tls_version", "cipher_suite"}
#: RFC 8446 appendix B.4, RFC 5289.
IANA = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
}


@pytest.mark.parametrize(("version", "number"), [("TLSv1_2", 0x0303), ("TLSv1_3", 0x0304)])
def test_extension_without_a_client_certificate(site: Site, version: str, number: int) -> None:
    tls = site.tls()
    client = client_context(site.authority)
    client.minimum_version = client.maximum_version = ssl.TLSVersion[version]
    server, _ = handshake(tls.context, client)
    found = tls.extension(server)
    assert found.keys() == KEYS
    assert found["server_cert"] == site.pem()
    assert found["tls_version"] == number
    cipher = server.cipher()
    assert cipher is not None
    assert found["cipher_suite"] == IANA[cipher[0]]
    assert (found["client_cert_chain"], found["client_cert_name"], found["client_cert_error"]) == ((), None, None)


@pytest.mark.parametrize("name", [name for name in IANA if name.startswith("ECDHE")])
def test_numbers_of_cipher_suites(site: Site, name: str) -> None:
    tls = site.tls()
    client = client_context(site.authority)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(name)
    server, _ = handshake(tls.context, client)
    assert tls.extension(server)["cipher_suite"] == IANA[name]


def test_all_numbers_that_are_known() -> None:
    found = cipher_suites(ssl.create_default_context())
    assert {name: found[name] for name in IANA} == IANA
    assert all(0 < number < 0x10000 for number in found.values())


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("intermediate", [False, True])
def test_extension_with_a_client_certificate(site: Site, version: str, intermediate: bool) -> None:
    # Of an authority that the client does not trust itself, for it would send what it knows of the chain.
    people = trustme.CA()
    people.cert_pem.write_to_path(site.ca_certs)
    tls = site.tls(cert_reqs=1, ca_certs=str(site.ca_certs))
    someone = identity(people.create_child_ca() if intermediate else people)
    client = client_context(site.authority, someone)
    client.minimum_version = client.maximum_version = ssl.TLSVersion[version]
    server, _ = handshake(tls.context, client)
    found = tls.extension(server)
    chain = [
        ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(pem.bytes().decode())) for pem in someone.cert_chain_pems
    ]
    assert len(chain) == 1 + intermediate
    assert found["client_cert_chain"] == tuple(chain if TELLS_CHAIN else chain[:1])
    leaf = x509.load_pem_x509_certificate(leaf_of(someone).encode())
    assert x509.Name.from_rfc4514_string(found["client_cert_name"]) == leaf.subject
    assert "CN=Some One\\, Inc." in found["client_cert_name"]
    assert found["client_cert_error"] is None


def test_what_a_client_sends_beyond_its_chain_is_left_out(site: Site) -> None:
    people, unrelated = trustme.CA(), trustme.CA()
    people.cert_pem.write_to_path(site.ca_certs)
    tls = site.tls(cert_reqs=2, ca_certs=str(site.ca_certs))
    someone = identity(people)
    client = client_context(site.authority)
    pem = someone.cert_chain_pems[0].bytes() + unrelated.cert_pem.bytes() + people.cert_pem.bytes()
    with someone.private_key_pem.tempfile() as key, trustme.Blob(pem).tempfile() as certificates:
        client.load_cert_chain(certificates, key)
    server, _ = handshake(tls.context, client)
    root = ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(people.cert_pem.bytes().decode()))
    expected = (leaf_of(someone), root) if TELLS_CHAIN else (leaf_of(someone),)
    assert tls.extension(server)["client_cert_chain"] == expected


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_resumed_session(site: Site, version: str) -> None:
    tls = site.tls(cert_reqs=2, ca_certs=str(site.ca_certs))
    someone = identity(site.authority.create_child_ca())
    client = client_context(site.authority, someone)
    client.minimum_version = client.maximum_version = ssl.TLSVersion[version]
    first, first_client = handshake(tls.context, client)
    again, again_client = handshake(tls.context, client, first_client.session)
    assert again_client.session_reused
    found, expected = tls.extension(again), tls.extension(first)
    assert found["client_cert_chain"][0] == expected["client_cert_chain"][0] == leaf_of(someone)
    assert found["client_cert_name"] == expected["client_cert_name"]


def test_a_client_without_the_certificate_that_is_required(site: Site) -> None:
    tls = site.tls(cert_reqs=2, ca_certs=str(site.ca_certs))
    for client in (client_context(site.authority), client_context(site.authority, identity(trustme.CA()))):
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            handshake(tls.context, client)


def test_an_extension_tells_the_certificate_of_its_own_connection(site: Site) -> None:
    tls = site.tls()
    look = Looks(tls)
    look()
    old = site.pem()
    before, _ = handshake(tls.context, client_context(site.authority))
    site.write()
    assert look(2) == [False, True]
    after, _ = handshake(tls.context, client_context(site.authority))
    assert tls.extension(before)["server_cert"] == old
    assert tls.extension(after)["server_cert"] == site.pem() != old


@needs_hook
def test_a_context_chosen_by_server_name(site: Site) -> None:
    """Which certificate it has cannot be known; the rest can."""
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    site.authority.issue_cert("localhost").configure_cert(other)

    def hook(conf: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = default()
        context.sni_callback = lambda ssl_object, name, _: setattr(ssl_object, "context", other)
        return context

    tls = site.tls(ssl_context=hook)
    server, _ = handshake(tls.context, client_context(site.authority))
    for _ in range(2):
        found = tls.extension(server)
        assert found["server_cert"] is None
        assert found["cipher_suite"] in IANA.values()


def test_without_a_certificate_in_pem() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority = trustme.CA()
    authority.issue_cert("localhost").configure_cert(context)
    tls = ServerTls(lambda: context, {}, Log())
    server, _ = handshake(tls.context, client_context(authority))
    assert tls.extension(server)["server_cert"] is None
    assert tls_extension(server, "x", {})["cipher_suite"] is None


# -- over sockets, on both loops --------------------------------------------------------------------------------------


class Told(asyncio.Protocol):
    """Writes what the extension tells of each connection."""

    def __init__(self, tls: ServerTls, found: list[dict[str, Any]]) -> None:
        self.tls, self.found = tls, found

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.found.append(self.tls.extension(transport.get_extra_info("ssl_object")))

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    loop = fresh_loop(request.param)
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_rotation_under_open_connections(site: Site, loop: asyncio.AbstractEventLoop) -> None:
    tls = site.tls(cert_reqs=2, ca_certs=str(site.ca_certs))
    look = Looks(tls)
    look()
    someone = identity(site.authority)
    client = client_context(site.authority, someone)
    found: list[dict[str, Any]] = []

    async def accept(listener: socket.socket) -> Any:
        accepted, _ = await loop.sock_accept(listener)
        return await loop.connect_accepted_socket(lambda: Told(tls, found), accepted, ssl=tls.context)

    def talk(secure: ssl.SSLSocket) -> str:
        secure.sendall(b"hello")
        assert secure.recv(100) == b"HELLO"
        certificate = secure.getpeercert(binary_form=True)
        assert certificate is not None
        return ssl.DER_cert_to_PEM_cert(certificate)

    def connect(address: tuple[str, int]) -> ssl.SSLSocket:
        plain = socket.create_connection(address, LONG)
        return client.wrap_socket(plain, server_hostname="localhost")

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            sockets, transports = [], []
            for certificate in (site.pem(), None):
                if certificate is None:
                    site.write()
                    assert look(2) == [False, True]
                connecting = loop.run_in_executor(None, connect, listener.getsockname())
                transports.append((await accept(listener))[0])
                sockets.append(await connecting)
            talks = [await loop.run_in_executor(None, talk, one) for one in sockets]
            assert talks[0] != talks[1]
            assert [one["server_cert"] for one in found] == talks
            assert [one["client_cert_chain"][0] for one in found] == [leaf_of(someone)] * 2
            for one in sockets:
                one.close()
            for transport in transports:
                transport.abort()
            await asyncio.sleep(0)

    loop.run_until_complete(asyncio.wait_for(scenario(), LONG))
