"""Label rules: what the labels of earlier incidents say about what is going on now (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monitor_core.incidents import Evidence, Kind
from monitor_core.labels import Culprit, Direction, Label, Labelled, is_same_time_of_day

EVIDENT_SHARE = 0.2


class LabelRules:
    """The labels that hold, by incident. Only those of abnormal incidents in which a metric stood out say anything."""

    def __init__(self) -> None:
        self._by_pattern: dict[tuple[str, Culprit], dict[int, Labelled]] = {}
        self._patterns: dict[int, tuple[str, Culprit]] = {}

    def put(self, record: Labelled) -> None:
        """A label was set, replaced or (None) taken back."""
        before = self._patterns.pop(record.incident, None)
        if before is not None:
            self._by_pattern[before].pop(record.incident)
        if record.label is not None and record.kind == Kind.ABNORMAL and record.leading is not None:
            pattern = self._patterns[record.incident] = record.host, record.leading
            self._by_pattern.setdefault(pattern, {})[record.incident] = record

    def ended(self, incident: int, resolved_at: int) -> None:
        """A labelled incident is over: from now on it is known how long it lasted (ms UTC)."""
        if incident in self._patterns:
            own = self._by_pattern[self._patterns[incident]]
            own[incident] = replace(own[incident], resolved_at=resolved_at)

    def suppresses(self, host: str, metric: str, direction: Direction) -> bool:
        """Nobody wants to hear of this any more?"""
        return any(record.label is Label.NEVER for record in self._about(host, metric, direction))

    def expects(self, host: str, metric: str, direction: Direction, at_ms: int) -> bool:
        """Happens now and then about this time of day?"""
        return any(
            record.label is Label.EXPECTED and is_same_time_of_day(record, at_ms)
            for record in self._about(host, metric, direction)
        )

    def _about(self, host: str, metric: str, direction: Direction) -> Sequence[Labelled]:
        return tuple(self._by_pattern.get((host, Culprit(metric, direction)), {}).values())


def culprits(evidence: Sequence[Evidence]) -> tuple[Culprit, ...]:
    """The metrics that had a part, the largest first; none when the first has no value or no part."""
    found = []
    for place, item in enumerate(evidence):
        if item.contribution >= EVIDENT_SHARE or (place == 0 and item.contribution > 0):
            direction = _direction(item)
            if direction is None and place == 0:
                return ()
            if direction is not None:
                found.append(Culprit(item.metric, direction))
    return tuple(found)


def _direction(item: Evidence) -> Direction | None:
    """A value inside the expected range (an unusual pair, a climb) lies on the side of the middle where it is."""
    if item.value is None:
        return None
    if item.expected_low is None or item.expected_high is None:
        return Direction.HIGH if item.limit is not None and item.value >= item.limit else None
    return Direction.HIGH if item.value >= (item.expected_low + item.expected_high) / 2 else Direction.LOW
