"""``asgi/tls_extension``: the subject of a certificate as RFC 4514 writes it.

What a handshake tells is tested with the contexts, in ``tests/test_tls.py``.
"""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pronghorn.asgi.tls_extension import subject_name

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate_of(subject: x509.Name) -> bytes:
    start = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")]),
        subject_name=subject,
        public_key=KEY.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=start,
        not_valid_after=start + datetime.timedelta(days=1),
    )
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def name_of(*attributes: x509.NameAttribute) -> str:
    return subject_name(certificate_of(x509.Name(attributes)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Steve Kille", "CN=Steve Kille"),
        ('James "Jim" Smith, III', 'CN=James \\"Jim\\" Smith\\, III'),
        ("Before\rAfter", "CN=Before\rAfter"),
        ("a+b;c<d>e\\f=g", "CN=a\\+b\\;c\\<d\\>e\\\\f=g"),
        ("#hash#", "CN=\\#hash#"),
        (" both ", "CN=\\ both\\ "),
        (" ", "CN=\\ "),
        ("  ", "CN=\\ \\ "),
        ("nul\0", "CN=nul\\00"),
        ("Lučić", "CN=Lučić"),
        ("日本", "CN=日本"),
    ],
)
def test_escaping(value: str, text: str) -> None:
    assert name_of(x509.NameAttribute(NameOID.COMMON_NAME, value)) == text


def test_the_order_is_reversed() -> None:
    name = name_of(
        x509.NameAttribute(NameOID.COUNTRY_NAME, "GB"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Isode Limited"),
        x509.NameAttribute(NameOID.COMMON_NAME, "Steve Kille"),
    )
    assert name == "CN=Steve Kille,O=Isode Limited,C=GB"


def test_several_attributes_in_one() -> None:
    relative = x509.RelativeDistinguishedName(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Sales"),
            x509.NameAttribute(NameOID.COMMON_NAME, "J.  Smith"),
        ]
    )
    domain = [x509.NameAttribute(NameOID.DOMAIN_COMPONENT, part) for part in ("net", "example")]
    subject = x509.Name([*(x509.RelativeDistinguishedName([one]) for one in domain), relative])
    text = subject_name(certificate_of(subject))
    first, *rest = text.split(",")
    assert sorted(first.split("+")) == ["CN=J.  Smith", "OU=Sales"]
    assert rest == ["DC=example", "DC=net"]


def test_an_attribute_without_a_short_name() -> None:
    assert name_of(x509.NameAttribute(x509.ObjectIdentifier("1.3.6.1.4.1.1466.0"), "Hi")) == (
        "1.3.6.1.4.1.1466.0=#0c024869"
    )
    assert name_of(x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b")) == ("1.2.840.113549.1.9.1=#1603614062")
    assert name_of(x509.NameAttribute(x509.ObjectIdentifier("2.999.3"), "x")) == "2.999.3=#0c0178"


def test_an_empty_subject() -> None:
    assert name_of() == ""


def der(kind: int, *parts: bytes) -> bytes:
    """A DER item, its length in the short or the long form."""
    content = b"".join(parts)
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([kind]) + length + content


def by_hand(kind: int, value: bytes, *, version: bytes = b"") -> bytes:
    attribute = der(0x30, der(0x06, b"\x55\x04\x03"), der(kind, value))
    subject = der(0x30, der(0x31, attribute))
    empty = der(0x30)
    return der(0x30, der(0x30, version, der(0x02, b"\x01"), empty, empty, empty, subject, empty))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (0x0C, "ü".encode(), "CN=ü"),
        (0x14, "ü".encode("latin-1"), "CN=ü"),
        (0x1C, "ü".encode("utf-32-be"), "CN=ü"),
        (0x1E, "žluť".encode("utf-16-be"), "CN=žluť"),
        (0x12, b"123", "CN=123"),
        (0x13, b"abc", "CN=abc"),
        (0x0C, b"\xff", "CN=#0c01ff"),
        (0x1E, b"\x00", "CN=#1e0100"),
        (0x04, b"abc", "CN=#0403616263"),
        (0x0C, b"x" * 300, "CN=" + "x" * 300),
    ],
)
def test_certificates_that_are_made_by_hand(kind: int, value: bytes, text: str) -> None:
    """Version 1 certificates, which do not tell their version, and string types that are not written any more."""
    assert subject_name(by_hand(kind, value)) == text
    assert subject_name(by_hand(kind, value, version=der(0xA0, der(0x02, b"\x02")))) == text


TYPES = st.sampled_from(
    [
        NameOID.COMMON_NAME,
        NameOID.LOCALITY_NAME,
        NameOID.STATE_OR_PROVINCE_NAME,
        NameOID.ORGANIZATION_NAME,
        NameOID.ORGANIZATIONAL_UNIT_NAME,
        NameOID.STREET_ADDRESS,
        NameOID.USER_ID,
    ]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.lists(st.builds(x509.NameAttribute, TYPES, TEXTS), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
def test_what_is_written_is_read_back_by_others(attributes: list[x509.NameAttribute]) -> None:
    subject = x509.Name(attributes)
    assert x509.Name.from_rfc4514_string(subject_name(certificate_of(subject))) == subject
