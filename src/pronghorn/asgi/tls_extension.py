"""The ASGI TLS extension (0.2): what a connection's handshake told, as an application may read it.

From a finished ``ssl.SSLObject`` to a dict. Reads of a certificate only its subject; that OpenSSL parsed and verified
the certificate before is relied on.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

_VERSIONS = {"SSLv3": 0x0300, "TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def tls_extension(
    ssl_object: ssl.SSLObject | ssl.SSLSocket, server_cert: str | None, numbers: Mapping[str, int]
) -> dict[str, Any]:
    """Return the value of ``scope["extensions"]["tls"]``; all of it is immutable but the dict itself.

    ``server_cert``: our certificate as PEM, None when it is not known. ``numbers``: of cipher suites, as
    ``cipher_suites`` returns them. ``client_cert_error`` is always None: a handshake with a certificate that does not
    verify fails.
    """
    cipher = ssl_object.cipher()
    leaf = ssl_object.getpeercert(binary_form=True)
    return {
        "server_cert": server_cert,
        "client_cert_chain": tuple(ssl.DER_cert_to_PEM_cert(one) for one in _client_chain(ssl_object, leaf)),
        "client_cert_name": None if leaf is None else subject_name(leaf),
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(ssl_object.version() or ""),
        "cipher_suite": None if cipher is None else numbers.get(cipher[0]),
    }


def cipher_suites(context: ssl.SSLContext) -> dict[str, int]:
    """Return the IANA numbers of the suites that ``context`` may choose, by OpenSSL's names for them."""
    return {suite["name"]: suite["id"] & 0xFFFF for suite in context.get_ciphers()}


def _client_chain(ssl_object: Any, leaf: bytes | None) -> list[bytes]:
    """The client's certificates, the leaf first: those it sent that are also part of the chain that was verified.

    So each has signed the one before it, which certificates that were merely sent need not have. Python before 3.13
    tells the leaf only; so does a resumed session, which knows no chain.
    """
    if leaf is None:
        return []
    if not hasattr(ssl_object, "get_verified_chain"):
        return [leaf]
    sent = set(ssl_object.get_unverified_chain())
    chain = [certificate for certificate in ssl_object.get_verified_chain() if certificate in sent]
    return chain if chain and chain[0] == leaf else [leaf]


# -- the subject of a certificate (RFC 5280 section 4.1) as text (RFC 4514) -------------------------------------------

_INTEGER, _OID, _CONTEXT_0 = 0x02, 0x06, 0xA0
#: Encodings of the string types (X.690 section 8.23): UTF8, Numeric, Printable, Teletex, IA5, Universal, BMP.
_STRINGS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
#: Registered short names (RFC 4514 section 3, RFC 4519 section 2); any other type is written as its OID.
_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "sn",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "givenName",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
_ESCAPED = frozenset('"+,;<>\\')


def subject_name(certificate: bytes) -> str:
    """Return the distinguished name of the subject of a DER-encoded certificate, as RFC 4514 writes it."""
    _, start, _ = _header(certificate, 0)
    _, at, _ = _header(certificate, start)  # TBSCertificate
    kind, _, end = _header(certificate, at)
    if kind == _CONTEXT_0:  # version
        at = end
    for _ in range(4):  # serialNumber, signature, issuer, validity
        _, _, at = _header(certificate, at)
    _, start, end = _header(certificate, at)
    names = [
        "+".join(_attribute(certificate, *pair) for _, *pair in _items(certificate, *relative))
        for _, *relative in _items(certificate, start, end)
    ]
    return ",".join(reversed(names))


def _header(der: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of the DER item at ``at`` and where its content starts and ends (X.690 section 8.1)."""
    kind, size = der[at], der[at + 1]
    at += 2
    if size & 0x80:
        width = size & 0x7F
        size = int.from_bytes(der[at : at + width], "big")
        at += width
    return kind, at, at + size


def _items(der: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    while at < end:
        item = _header(der, at)
        yield item
        at = item[2]


def _attribute(der: bytes, at: int, end: int) -> str:
    """RFC 4514 section 2.3: a type with a short name has its value as text; else both are written as they are."""
    _, start, value_at = _header(der, at)
    oid = _dotted(der[start:value_at])
    kind, start, _ = _header(der, value_at)
    name, encoding = _SHORT_NAMES.get(oid), _STRINGS.get(kind)
    if name is not None and encoding is not None:
        try:
            return f"{name}={_escaped(der[start:end].decode(encoding))}"
        except UnicodeDecodeError:
            pass  # mislabelled text is written as bytes
    return f"{name or oid}=#{der[value_at:end].hex()}"


def _dotted(content: bytes) -> str:
    """X.690 section 8.19."""
    numbers = [0]
    for byte in content:
        numbers[-1] = numbers[-1] << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(0)
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:-1]]))


def _escaped(text: str) -> str:
    """RFC 4514 section 2.4."""
    escaped = "".join("\\00" if char == "\0" else "\\" + char if char in _ESCAPED else char for char in text)
    if escaped.endswith(" "):
        escaped = escaped[:-1] + "\\ "
    return "\\" + escaped if escaped[:1] in ("#", " ") else escaped
