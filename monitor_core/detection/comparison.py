"""Comparison: is a newly trained version (the challenger) better than the one that speaks (the champion)? Pure.

Both judged the same samples from the same empty start. What they would have opened is compared incident by incident:
two incidents of one host that overlap are the same, whatever their scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

DAY_MS = 86_400_000
MOST_NAMED = 20
MOST_MORE, MOST_TIMES = 1, 1.2
REAL, UNLABELLED = "real", "unlabelled"


class KnownIncident(NamedTuple):
    """An incident of the period with what a person said of it; times ms UTC, both included."""

    host: str
    start: int
    stop: int
    label: str


@dataclass(frozen=True, slots=True)
class Flagged:
    """An incident that a version would have opened. `metric` had the largest part; `peak_score` 0..1; ms UTC; `told`:
    somebody would have got a message."""

    host: str
    start: int
    stop: int
    metric: str
    peak_score: float
    told: bool = True


@dataclass(frozen=True, slots=True)
class Side:
    """One version in a comparison. `found` [label]: how many incidents of that label one of its own overlaps."""

    version: int
    opened: int
    per_host_day: float
    found: dict[str, int]


@dataclass(frozen=True, slots=True)
class LabelEffect:
    """What the labels that hold change: samples that the challenger learned from because of them (`added`), samples of
    what is marked as real or never (`left_out`), and what it would tell over the same stretch without and with them.

    `quieter` and `louder`: alerts that are only sent without, or only with them, up to 20 of the `_total`. `real`: so
    many incidents of the stretch are marked as real, of which somebody would be told of `real_found`.
    """

    labels: int
    added: int
    left_out: int
    alerts_without: int
    alerts_with: int
    quieter: tuple[Flagged, ...]
    quieter_total: int
    louder: tuple[Flagged, ...]
    louder_total: int
    real: int
    real_found_without: int
    real_found: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both versions over [start, stop), ms UTC, without any labels. `more` and `less`: what the challenger alone, or
    the champion alone, would have opened, the highest peak first, up to 20 of the `more_total` and `less_total`;
    `labelled` [label]: how many incidents of each label there were; `labels`: what the labels that hold change (None:
    there is none for these hosts)."""

    start: int
    stop: int
    hosts: int
    samples: int
    champion: Side
    challenger: Side
    more: tuple[Flagged, ...]
    more_total: int
    less: tuple[Flagged, ...]
    less_total: int
    labelled: dict[str, int]
    labels: LabelEffect | None = None


class Promotion(StrEnum):
    """Why a new version speaks at once, or why it waits for a person."""

    FIRST = "first"
    NO_WORSE = "no_worse"
    FINDS_FEWER = "finds_fewer"
    OPENS_MORE = "opens_more"
    NOT_COMPARED = "not_compared"
    ASKED = "asked"

    @property
    def speaks(self) -> bool:
        """May it take over by itself?"""
        return self in {Promotion.FIRST, Promotion.NO_WORSE}


def compare(
    span: tuple[int, int],
    hosts: int,
    samples: int,
    champion: tuple[int, Sequence[Flagged]],
    challenger: tuple[int, Sequence[Flagged]],
    labelled: Sequence[KnownIncident] = (),
) -> Comparison:
    """`champion` and `challenger`: (version, what it would have opened) over `samples` samples of `hosts` hosts."""
    days = max(span[1] - span[0], 1) / DAY_MS
    sides = [_side(*one, hosts * days, labelled) for one in (champion, challenger)]
    more, less = _alone(challenger[1], champion[1]), _alone(champion[1], challenger[1])
    return Comparison(
        *span,
        hosts,
        samples,
        sides[0],
        sides[1],
        more=tuple(more[:MOST_NAMED]),
        more_total=len(more),
        less=tuple(less[:MOST_NAMED]),
        less_total=len(less),
        labelled=_counts(labelled),
    )


def label_effect(
    labels: int,
    samples: tuple[int, int],
    without: Sequence[Flagged],
    taught: Sequence[Flagged],
    known: Sequence[KnownIncident],
) -> LabelEffect:
    """What one version would tell `without` the labels and when it is `taught` by them; `samples`: added, left out."""
    before, after = ([item for item in flagged if item.told] for flagged in (without, taught))
    quieter, louder = _alone(before, after), _alone(after, before)
    real = [item for item in known if item.label == REAL]
    found = [sum(any(_overlaps(item, own) for own in told) for item in real) for told in (before, after)]
    return LabelEffect(
        labels,
        *samples,
        alerts_without=len(before),
        alerts_with=len(after),
        quieter=tuple(quieter[:MOST_NAMED]),
        quieter_total=len(quieter),
        louder=tuple(louder[:MOST_NAMED]),
        louder_total=len(louder),
        real=len(real),
        real_found_without=found[0],
        real_found=found[1],
    )


def decide(comparison: Comparison | None, *, is_first: bool, ask: bool) -> Promotion:
    """What becomes of a new version. `ask`: somebody wants to decide; `comparison` None: it could not be compared."""
    if is_first:
        return Promotion.FIRST
    if comparison is None:
        return Promotion.NOT_COMPARED
    champion, challenger = comparison.champion, comparison.challenger
    if challenger.found.get(REAL, 0) < champion.found.get(REAL, 0):
        return Promotion.FINDS_FEWER
    if challenger.opened > max(champion.opened + MOST_MORE, MOST_TIMES * champion.opened):
        return Promotion.OPENS_MORE
    return Promotion.ASKED if ask else Promotion.NO_WORSE


def sentence(promotion: Promotion, comparison: Comparison | None) -> str:
    """Why, for people."""
    if comparison is None:
        return "first version" if promotion is Promotion.FIRST else "kept: it could not be compared"
    champion, challenger = comparison.champion, comparison.challenger
    if promotion is Promotion.FINDS_FEWER:
        found = (challenger.found.get(REAL, 0), champion.found.get(REAL, 0))
        return f"kept: finds {found[0]} of the real incidents instead of {found[1]}"
    instead = ", as many as now" if challenger.opened == champion.opened else f" instead of {champion.opened}"
    opens = f"would open {_incidents(challenger.opened)}{instead}"
    if promotion is Promotion.OPENS_MORE:
        return f"kept: {opens}"
    return f"waits for you: {opens}" if promotion is Promotion.ASKED else f"promoted: {opens}"


def label_sentence(found: Comparison) -> str | None:
    """ "With your 3 labels: 5 fewer alerts in these 6 h; both that you marked as real are still found."; None: there is
    no label."""
    effect = found.labels
    if effect is None:
        return None
    whose = "your label" if effect.labels == 1 else f"your {effect.labels} labels"
    changes = [
        f"{n} {word} alert{'' if n == 1 else 's'}"
        for n, word in ((effect.quieter_total, "fewer"), (effect.louder_total, "more"))
        if n
    ]
    told = " and ".join(changes) or "the same alerts"
    return f"With {whose}: {told} in these {_lasted(found.stop - found.start)}{_of_real(effect)}."


def _of_real(effect: LabelEffect) -> str:
    if not effect.real:
        return ""
    if effect.real_found == effect.real:
        all_of_them = {1: "the one that you marked as real is", 2: "both that you marked as real are"}
        return f"; {all_of_them.get(effect.real, f'all {effect.real} that you marked as real are')} still found"
    of = f"{effect.real_found} of {effect.real} that you marked as real"
    if effect.real_found < effect.real_found_without:
        return f"; but only {of} would be told, without them {effect.real_found_without}"
    return f"; {of} would be told, without them {effect.real_found_without}"


def _lasted(ms: int) -> str:
    minutes = max(round(ms / 60_000), 1)
    return f"{minutes} min" if minutes < 100 else f"{round(minutes / 60)} h"


def comparison_from(parsed: Mapping[str, Any]) -> Comparison:
    """Inverse of `dataclasses.asdict`. Raises ValueError."""
    return msgspec.convert(parsed, Comparison)


def _side(version: int, flagged: Sequence[Flagged], host_days: float, labelled: Sequence[KnownIncident]) -> Side:
    found = _counts(item for item in labelled if any(_overlaps(item, own) for own in flagged))
    return Side(version, len(flagged), round(len(flagged) / host_days, 2) if host_days else 0.0, found)


def _alone(own: Sequence[Flagged], others: Sequence[Flagged]) -> list[Flagged]:
    alone = [item for item in own if not any(_overlaps(item, other) for other in others)]
    return sorted(alone, key=lambda item: (-item.peak_score, item.start, item.host))


def _overlaps(one: Flagged | KnownIncident, other: Flagged) -> bool:
    return one.host == other.host and one.start <= other.stop and other.start <= one.stop


def _counts(labelled: Iterable[KnownIncident]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in labelled:
        counts[item.label] = counts.get(item.label, 0) + 1
    return counts


def _incidents(n: int) -> str:
    return "1 incident" if n == 1 else f"{n} incidents"
