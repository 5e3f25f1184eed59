"""Which peers may speak for others: Gunicorn's ``forwarded_allow_ips``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


class TrustList:
    """Addresses and networks that are trusted. A peer on a unix socket is: who may connect is the file system's say.

    ``entries``: IP addresses, CIDR networks, host names (compared as text) or ``*`` for everybody.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._everybody = False
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in entries:
            if entry == "*":
                self._everybody = True
                continue
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._names.add(entry)

    def __contains__(self, host: str) -> bool:
        if self._everybody or host in self._names:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks if network.version == mapped.version)

    def trusts(self, client: tuple[str, int] | None) -> bool:
        """Whether the peer at ``client`` (ASGI's form; None is a unix socket) is trusted."""
        return client is None or client[0] in self
