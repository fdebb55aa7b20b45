"""Who a request comes from, and what part of the server's limits one client may use."""

from __future__ import annotations

import ipaddress
from collections import Counter
from contextvars import ContextVar

CLIENT: ContextVar[str] = ContextVar("client", default="")
"""The client of the request at hand; tasks that it starts have the same."""

NETWORK = 64
"""Bits of an IPv6 address that identify a client: one is usually given all addresses that begin with them."""


def client_of(host: str) -> str:
    """The client that an address belongs to.

    Args:
        host: IP address; anything else is its own client.

    Returns:
        The address, of IPv6 its network.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, NETWORK), strict=False))
    return str(address)


class Budget:
    """A number of things at work, in total and for each client.

    most: in total. share: part of them that one client may have, at least one. taken: number at work.
    """

    def __init__(self, most: int, share: float) -> None:
        self.most, self.each = most, max(1, int(most * share + 0.5))
        self.taken = 0
        self._clients: Counter[str] = Counter()

    def allows(self, count: int = 1) -> bool:
        """Whether the client of this request may have so many more; one that has none may exceed its own share."""
        own = self._clients[CLIENT.get()]
        return self.taken + count <= self.most and (own + count <= self.each or not own)

    def take(self, count: int = 1) -> str:
        """Count them, for the client that is returned; `give_back` ends it."""
        client = CLIENT.get()
        self.taken += count
        self._clients[client] += count
        return client

    def give_back(self, client: str, count: int = 1) -> None:
        """No longer count them."""
        self.taken -= count
        self._clients[client] -= count
        if not self._clients[client]:
            del self._clients[client]
