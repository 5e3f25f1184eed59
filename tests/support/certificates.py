"""Throw-away certificates, a site configured with them, and handshakes in memory."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gunicorn.config import Config

from pronghorn.tls import ServerTls


class Log:
    """Collects (level, line)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda message, *args: self.lines.append((level, message % args))

    def levels(self) -> list[str]:
        return [level for level, _ in self.lines]


class Site:
    """Files of a server's certificate, and a configuration that names them."""

    def __init__(self, directory: Path, authority: trustme.CA) -> None:
        self.authority = authority
        self.certfile = directory / "cert.pem"
        self.keyfile = directory / "key.pem"
        self.ca_certs = directory / "ca.pem"
        authority.cert_pem.write_to_path(self.ca_certs)
        self.write()

    def write(self, certificate: trustme.LeafCert | None = None) -> trustme.LeafCert:
        """(Re)write certificate and key."""
        certificate = certificate or self.authority.issue_cert("localhost")
        self.certfile.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(self.keyfile)
        return certificate

    def config(self, **settings: Any) -> Config:
        cfg = Config()
        for name, value in {"certfile": str(self.certfile), "keyfile": str(self.keyfile), **settings}.items():
            cfg.set(name, value)
        return cfg

    def tls(self, log: Log | None = None, **settings: Any) -> ServerTls:
        tls = ServerTls.from_gunicorn(self.config(**settings), log or Log())
        assert tls is not None
        return tls

    def pem(self) -> str:
        """The leaf in ``certfile``, as ``ssl`` writes it."""
        pem = self.certfile.read_text()
        first = pem[: pem.index("-----END CERTIFICATE-----") + 25]
        return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(first))


def client_context(authority: trustme.CA, identity: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if identity is not None:
        identity.configure_cert(context)
    return context


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake in memory, and after the client has read what follows it (session tickets)."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session),
    )
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                waiting.remove(end)
    assert not waiting
    for end in reversed(ends):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.read(1)
    return ends


def identity(authority: trustme.CA, name: str = "someone@example.com") -> trustme.LeafCert:
    return authority.issue_cert(name, common_name="Some One, Inc.", organization_name="Org")


def leaf_of(certificate: trustme.LeafCert) -> str:
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode()))


def unreadable_identity(authority: trustme.CA, path: Path) -> Path:
    """Write to ``path`` a client's certificate that OpenSSL verifies and CPython cannot read: one of its names is not
    UTF-8."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "someone")])
    authority_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key)
    name = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("3004 8202 fffe"))
    certificate = (
        x509.CertificateBuilder(issuer.subject, subject, key.public_key(), 5)
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(name, critical=False)
        .add_extension(authority_id, critical=False)  # wanted by VERIFY_X509_STRICT, the default since Python 3.13
        .sign(signer, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return path


class Certificates:
    """A server's files and a client's context."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.authority = trustme.CA()
        self.people = trustme.CA()
        self.certfile, self.keyfile, self.ca_certs = (directory / name for name in ("cert.pem", "key.pem", "ca.pem"))
        self.people.cert_pem.write_to_path(self.ca_certs)
        self.write()

    def write(self) -> None:
        certificate = self.authority.issue_cert("localhost")
        certificate.cert_chain_pems[0].write_to_path(self.certfile)
        certificate.private_key_pem.write_to_path(self.keyfile)

    @property
    def settings(self) -> dict[str, str]:
        return {"certfile": str(self.certfile), "keyfile": str(self.keyfile)}

    def pem(self) -> str:
        return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(self.certfile.read_text()))

    def context(self, identity: trustme.LeafCert | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if identity is not None:
            identity.configure_cert(context)
        return context
