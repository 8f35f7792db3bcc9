"""Comparing: a new version and the one that speaks judge the same last hours, without labels and with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from monitor_core.detection import comparison
from monitor_core.detection.comparison import UNLABELLED, Comparison, KnownIncident
from monitor_core.detection.model_registry import ModelDamaged, ModelRegistry
from monitor_core.frame import Frame
from monitor_core.incidents import Kind
from monitor_core.service import replaying
from monitor_core.service.judge import Judge
from monitor_core.service.model_life import voice
from monitor_core.service.replaying import Taught
from monitor_core.service.training_set import TrainingSet
from monitor_core.storage.state import StateStore
from monitor_core.storage.timeseries import StoreUnavailable, TimeSeriesStore

log = logging.getLogger("monitor.learning")

WINDOW_MS = 6 * 3_600_000

# [start, stop) in ms UTC → (host, start, stop, label) of the incidents that a person has labelled
LabelsOf = Callable[[int, int], Sequence[tuple[str, int, int, str]]]


class Comparing:
    """`new_judge` makes one with the rules that hold and an empty memory; `progress` hears how much of it is done."""

    def __init__(
        self,
        state: StateStore,
        store: TimeSeriesStore,
        registry: ModelRegistry,
        interval_ms: int,
        new_judge: Callable[[], Judge],
        labelled: LabelsOf,
        pause: Callable[[], None],
        progress: Callable[[float], None],
    ) -> None:
        self._state, self._store, self._registry = state, store, registry
        self._interval_ms, self._new_judge, self._labelled = interval_ms, new_judge, labelled
        self._pause, self._progress = pause, progress

    def compare(self, pair: tuple[int, int], chosen: TrainingSet, samples: tuple[int, int]) -> Comparison | None:
        """Champion and challenger, and the challenger with the labels; None when nothing can be read. `samples` that
        the challenger learned from, or not, because of labels."""
        labels = [record for record in self._state.labels() if record.host in chosen.hosts and record.label]
        reach = replaying.reach_ms(len(chosen.hosts), self._interval_ms, WINDOW_MS)
        try:
            judges: list[replaying.Judging] = [self._judge(number) for number in pair]
            if labels:
                judges.append(Taught(self._judge(pair[1]), labels))
            found = replaying.replay(self._stored(chosen, chosen.stop - reach), judges, self._pause)
        except (StoreUnavailable, ModelDamaged) as error:
            log.warning("the new version cannot be compared: %s", error)
            return None
        if found is None:
            return None
        span = (found.start, found.stop)
        champion, challenger = zip(pair, found.flagged[:2], strict=True)
        known = self._incidents_of(span, chosen.hosts)
        compared = comparison.compare(span, found.hosts, found.samples, champion, challenger, known)
        if not labels:
            return compared
        without, taught = found.flagged[1:]
        return replace(compared, labels=comparison.label_effect(len(labels), samples, without, taught, known))

    def _judge(self, version: int) -> Judge:
        judge = self._new_judge()
        voice(self._registry, version)(judge.scorer)
        return judge

    def _stored(self, chosen: TrainingSet, start: int) -> Iterator[Frame]:
        for parts, (frame, _) in enumerate(self._store.scan(start, chosen.stop, chosen.hosts), 1):
            yield frame
            self._progress(min(parts / 10, 1.0))

    def _incidents_of(self, span: tuple[int, int], hosts: Sequence[str]) -> list[KnownIncident]:
        """The abnormal incidents of the period, with what people said of them."""
        said = [KnownIncident(*item) for item in self._labelled(*span)]
        known = {(item.host, item.start) for item in said}
        others = [
            KnownIncident(found.host, found.opened_at, found.resolved_at or span[1], UNLABELLED)
            for found in self._state.incidents(*span, limit=10_000)
            if found.kind is Kind.ABNORMAL and (found.host, found.opened_at) not in known
        ]
        return [item for item in said + others if item.host in hosts]
