"""TrainingSet: whose history a training reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor_core.storage.state import KnownHost

MIN_HISTORY_MS = 3_600_000
FEW_MINUTES_MS = 5 * 60_000
MAX_HOSTS = 200


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Whose history a training reads, and whether those hosts exist."""

    hosts: tuple[str, ...]
    simulated: bool
    start: int
    stop: int


def of_own_past(known: Iterable[KnownHost], now: int | None = None) -> list[str]:
    """Hosts of which a training compares what they do with their own past: real ones first, with an hour of history by
    `now` (None: those that will have it)."""
    hosts = sorted(known, key=lambda host: (host.simulated, host.name))
    return [host.name for host in hosts if now is None or now - host.first_sample >= MIN_HISTORY_MS][:MAX_HOSTS]


def choose(known: Iterable[KnownHost], now: int) -> tuple[tuple[str, ...], bool]:
    """(hosts, are they simulated ones too?): real hosts once one of them has an hour of history; until then all there
    are."""
    hosts = list(known)
    real = [host for host in hosts if not host.simulated and now - host.first_sample >= MIN_HISTORY_MS]
    chosen = real or [host for host in hosts if now - host.first_sample >= FEW_MINUTES_MS]
    return tuple(sorted(host.name for host in chosen)[:MAX_HOSTS]), not real
