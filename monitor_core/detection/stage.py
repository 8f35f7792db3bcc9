"""Stage: how much a host has taught the detectors so far, who watches it now, and what comes next (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from monitor_core.detection.detectors.neighbours import FIRST_MS, FULL_VOICE_MS
from monitor_core.detection.host_state import BASELINE_LEVELS, WARM_LEVELS

UNKNOWN = math.inf
LIMITS, HOUR, FOREST, PAST, BUDGET = "limits", "last hour", "forest", "own past", "alert budget"
MOST_TOLD = 2


class Stage(StrEnum):
    """In order; a host only skips one when its history is already there."""

    LIMITS_ONLY = "limits only"
    LAST_HOUR = "learning the last hour"
    FOREST = "forest"
    DAYS = "knows its days"


class Part(NamedTuple):
    """One that watches a host, or will: `share` of its full say, 0 (not yet) to 1; `next` what of it comes and when."""

    name: str
    share: float
    next: str | None = None
    wait_ms: float = UNKNOWN


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a host. `levels` its baseline has, one each `level_ms`; `history_ms` since its first sample in
    the store; `past` how much of a say its own past has by the version that speaks (None: no training learns from this
    host); `budget_ms` until the alert budget knows it (None: it has none); `trains`: trainings come by themselves."""

    levels: int
    level_ms: float
    model_version: int
    history_ms: int
    past: float | None = None
    budget_ms: int | None = None
    trains: bool = True


@dataclass(frozen=True, slots=True)
class Learned:
    """A host's stage, how far it is on the way to the next one (0..1), what comes next, all of it as a sentence, and
    the parts of it."""

    stage: Stage
    progress: float
    next: str | None
    sentence: str
    parts: tuple[Part, ...]


def learned(known: Known) -> Learned:
    """What watches this host now, and what will."""
    parts = tuple(_parts(known))
    comes = [part.next for part in sorted(parts, key=lambda part: part.wait_ms) if part.next][:MOST_TOLD]
    following = " and ".join(comes) or None
    speak = _speaking(parts)
    sentence = f"Learning this host: {speak}; next: {following}" if following else f"Watching this host: {speak}"
    return Learned(*_stage(known), following, sentence, parts)


def _stage(known: Known) -> tuple[Stage, float]:
    if known.levels < WARM_LEVELS:
        return Stage.LIMITS_ONLY, round(known.levels / WARM_LEVELS, 3)
    if known.levels < BASELINE_LEVELS or not known.model_version:
        return Stage.LAST_HOUR, round(min(known.levels / BASELINE_LEVELS, 1.0), 3)
    if known.past is None or known.past < 1:
        return Stage.FOREST, 1.0 if known.past is None else round(known.past, 3)
    return Stage.DAYS, 1.0


def _parts(known: Known) -> Iterator[Part]:
    """Those that this host has or will have, the first to speak first."""
    yield Part(LIMITS, 1.0)
    warm = known.levels >= WARM_LEVELS
    left = max((BASELINE_LEVELS if warm else WARM_LEVELS) - known.levels, 0) * known.level_ms
    name = "full baseline" if warm else HOUR
    yield Part(HOUR, min(known.levels / BASELINE_LEVELS, 1.0) if warm else 0.0, *_in(name, left))
    forest = bool(known.model_version)
    yield Part(FOREST, float(forest and warm), None if forest else "forest after the first training")
    if known.past is not None:
        first, name = (FIRST_MS, PAST) if not known.past else (FULL_VOICE_MS, "all of its own past")
        left = max(first - known.history_ms, 0) if known.trains else 0
        late = (f"{name} with the next training",)
        yield Part(PAST, known.past, *(() if known.past >= 1 else _in(name, left) if left else late))
    if known.budget_ms is not None:
        yield Part(BUDGET, float(known.budget_ms <= 0), *_in(BUDGET, known.budget_ms))


def _in(name: str, left: float) -> tuple[str, float] | tuple[()]:
    return (f"{name} in {_span(left)}", left) if left > 0 else ()


def _speaking(parts: tuple[Part, ...]) -> str:
    """ "limits, last hour and 33 % of its own past speak, within its alert budget"."""
    names = [_told(part) for part in parts if part.share > 0 and part.name != BUDGET]
    within = ", within its alert budget" if parts[-1].name == BUDGET and parts[-1].share else ""
    if len(names) == 1:
        return f"only {names[0]} speak{within}"
    return f"{', '.join(names[:-1])} and {names[-1]} speak{within}"


def _told(part: Part) -> str:
    if part.name != PAST:
        return part.name
    return "own past" if part.share >= 1 else f"{max(math.floor(part.share * 100), 1)}\u202f% of its own past"


def _span(ms: float) -> str:
    """1 min, 3 h, 2 days; rounded up: it is never there earlier."""
    minutes = max(1, math.ceil(ms / 60_000))
    if minutes < 120:
        return f"{minutes} min"
    return f"{math.ceil(minutes / 60)} h" if minutes < 1_440 else _days(math.ceil(minutes / 1_440))


def _days(n: int) -> str:
    return "1 day" if n == 1 else f"{n} days"
