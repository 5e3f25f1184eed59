"""What a request costs more because its peer is a trusted proxy: a browser's request, and what nginx makes of it.

    python benchmarks/micro/forwarded.py [--repeat 200] [--number 320]

Prints microseconds per request from bytes to response, as request.py does, the best of the repeats: from a peer that is
not trusted, and from one that is, with and without forwarding fields.
"""

from __future__ import annotations

import uvloop
from request import answered
from timing import arguments
from wire import BROWSER

from pronghorn.proxies import PARTS, ForwardedPolicy, TrustList

NGINX = (b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-Proto: https")
FORWARDED = (b"Forwarded: for=203.0.113.9;proto=https;host=example.com",)
ALL = (*NGINX, b"X-Forwarded-Host: example.com", b"X-Forwarded-Port: 443", b"X-Forwarded-Prefix: /app")
CHAIN = (b"X-Forwarded-For: 203.0.113.9, 127.0.0.1, 127.0.0.1, 127.0.0.1", b"X-Forwarded-Proto: https")

#: Name, fields that the proxy adds, family, parts.
CASES = (
    ("no field of the kind", (), "x-forwarded", PARTS[:2]),
    ("X-Forwarded-For, -Proto", NGINX, "x-forwarded", PARTS[:2]),
    ("... through four proxies", CHAIN, "x-forwarded", PARTS[:2]),
    ("... -Host, -Port, -Prefix", ALL, "x-forwarded", PARTS),
    ("Forwarded", FORWARDED, "forwarded", PARTS[:3]),
)


async def main() -> None:
    options = arguments(__doc__, 200, 320)
    proxies = TrustList(["127.0.0.1"])
    for name, fields, family, parts in CASES:
        data = BROWSER[:-2] + b"".join(field + b"\r\n" for field in fields) + b"\r\n"
        policy = ForwardedPolicy(proxies, family=family, parts=parts)
        plain = await answered(data, options.repeat, options.number)
        trusted = await answered(data, options.repeat, options.number, is_trusted=proxies.trusts, forwarded=policy)
        print(f"{name:26} not trusted {plain:6.2f} us   trusted {trusted:6.2f} us   {trusted - plain:+5.2f}")


if __name__ == "__main__":
    uvloop.run(main())
