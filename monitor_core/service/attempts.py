"""Attempts: who offers one wrong token after the other is not listened to for a while.

Counted are different wrong tokens of an address: a collector whose token is out of date offers the same one again and
again, and must not shut out its neighbours. In the event loop's thread only, so there are no locks.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

from starlette.types import Scope

T = TypeVar("T")

MOST_WRONG, WITHIN_SECONDS = 10, 300.0
KNOWN_SECONDS = 86_400.0
MOST_ADDRESSES = 1_000


class Attempts:
    """Wrong tokens by address, over the last minutes. At most `MOST_ADDRESSES` are remembered, those of late."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._wrong: OrderedDict[str, dict[bytes, float]] = OrderedDict()
        self._known: OrderedDict[str, float] = OrderedDict()

    def seconds_to_wait(self, address: str) -> int:
        """0: the next token from there is looked at."""
        wrong = self._wrong.get(address, {})
        if len(wrong) < MOST_WRONG:
            return 0
        first = min(wrong, key=wrong.__getitem__)
        left = wrong[first] + WITHIN_SECONDS - self._monotonic()
        if left > 0:
            return math.ceil(left)
        del wrong[first]
        return 0

    def was_wrong(self, address: str, offered: str) -> None:
        now = self._monotonic()
        kept = {token: at for token, at in self._wrong.get(address, {}).items() if at + WITHIN_SECONDS > now}
        if len(kept) < MOST_WRONG:
            kept.setdefault(hashlib.sha256(offered.encode("utf-8", "surrogatepass")).digest()[:8], now)
        _put(self._wrong, address, kept)

    def was_right(self, address: str) -> None:
        """Somebody logged in from there."""
        self._wrong.pop(address, None)

    def know(self, address: str) -> None:
        """A program there has the token."""
        _put(self._known, address, self._monotonic())

    def is_known(self, address: str) -> bool:
        """Samples from there are let in whatever others behind the same address do."""
        at = self._known.get(address)
        return at is not None and at + KNOWN_SECONDS > self._monotonic()


def _put(table: OrderedDict[str, T], address: str, value: T) -> None:
    table[address] = value
    table.move_to_end(address)
    if len(table) > MOST_ADDRESSES:
        table.popitem(last=False)


def address_of(scope: Scope) -> str:
    """Who calls. Of IPv6 the network, since each of its machines has as many addresses as it likes."""
    name = str(scope["client"][0]) if scope.get("client") else ""
    try:
        found = ip_address(name.partition("%")[0])
    except ValueError:
        return name
    if not isinstance(found, IPv6Address):
        return name
    return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
