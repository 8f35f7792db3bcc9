"""What labels are worth: series with known events stream through the production path, and somebody says a day after
each alert what it was. A real one is left out of what is learned, and no longer counts against the budget; what was
expected now and then keeps counting.

python -m benchmarks.labelled FOLDER [--metrics cpu_r,mem_u,disk_u] [--per-day 1] [--only omi-1]

FOLDER has a <series>.csv.gz each and labels.json: {series: {"train", "step_s", "events": [[first, last], ...],
"culprits_1based": [[first, last, [metric, ...]], ...]}}.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bench_adapter import Alert
from monitor_core.detection import alert_budget, evaluation
from monitor_core.detection.evaluation import Counts, Event, Series
from monitor_core.frame import BoolArray, FloatArray, IntArray

DAY_MS, START_S = 86_400_000, 1_600_000_000


class LabelledAlert(Alert):
    """An `Alert` that learns what its alerts were; `real` are spans (ms) of those that were real."""

    def __init__(self, names: Sequence[str], step: float, per_day: float) -> None:
        self.alerts_per_day = per_day
        super().__init__(names, step)
        self.real: list[tuple[int, int]] = []

    @property
    def is_open(self) -> bool:
        return bool(self._policy.is_open[0])

    def was_real(self, opened: int, closed: int, peak: float) -> None:
        """`opened` and `closed` ms, `peak` the highest distance."""
        self.real.append((opened, closed))
        alert_budget.forgive(self._spending, 0, opened, peak)

    def _normal(self, time: IntArray) -> BoolArray:
        normal = np.ones(len(time), dtype=np.bool_)
        for opened, closed in self.real:
            normal &= (time < opened - 60_000) | (time > closed + 60_000)
        return normal


def stream(
    alert: LabelledAlert, time_s: FloatArray, values: FloatArray, event: BoolArray, labels: bool
) -> tuple[BoolArray, FloatArray]:
    """[n] where it alerted, [n, m] contributions. A label comes a day after its incident is over."""
    alerts, shares = np.zeros(len(time_s), dtype=np.bool_), np.zeros(values.shape)
    waiting: deque[tuple[int, int, float]] = deque()
    opened, peak = -1, 0.0
    for i, (at, row) in enumerate(zip(time_s, values, strict=True)):
        alerts[i], shares[i] = alert.update(at, row) > 0, alert.why
        opened = i if alerts[i] and opened < 0 else opened
        if opened >= 0:
            peak = max(peak, alert.distance)
        if opened >= 0 and not alert.is_open:
            if labels and event[max(0, opened - evaluation.TOLERANCE) : opened + 1].any():
                waiting.append((int(time_s[opened] * 1000), int(at * 1000), peak))
            opened, peak = -1, 0.0
        while waiting and waiting[0][1] + DAY_MS <= at * 1000:
            alert.was_real(*waiting.popleft())
    return alerts, shares


def events_of(known: dict, columns: list[str], shown: list[str]) -> tuple[Event, ...]:
    """With the culprits that are among the metrics `shown`; `columns` are all of them."""
    culprits = {(first, last): which for first, last, which in known.get("culprits_1based", [])}
    found = []
    for first, last in known["events"]:
        which = culprits.get((first, last), culprits.get((first, last + 1), []))
        names = [columns[number - 1] for number in which]
        found.append(Event(first, last, culprits=frozenset(shown.index(name) for name in names if name in shown)))
    return tuple(found)


def judge(folder: Path, name: str, known: dict, metrics: list[str] | None, per_day: float, labels: bool) -> Counts:
    found = pd.read_csv(folder / f"{name}.csv.gz").drop(columns="timestamp", errors="ignore")
    table = found[metrics] if metrics else found
    values = table.ffill().fillna(0.0).to_numpy(np.float64)
    events = events_of(known, list(found.columns), list(table.columns))
    inside = np.zeros(len(values), dtype=np.bool_)
    for event in events:
        inside[event.first : event.last + 1] = True
    alert = LabelledAlert(list(table.columns), known["step_s"], per_day)
    alerts, shares = stream(alert, START_S + np.arange(len(values)) * known["step_s"], values, inside, labels)
    return evaluation.count(Series(alerts.astype(float), alerts, shares, events, known["step_s"], known["train"]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labelled", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--metrics", type=lambda text: text.split(","))
    parser.add_argument("--per-day", type=float, default=1.0)
    parser.add_argument("--only", action="append")
    options = parser.parse_args()
    series = json.loads((options.folder / "labels.json").read_text())
    for labels in (False, True):
        counts = [
            judge(options.folder, name, series[name], options.metrics, options.per_day, labels)
            for name in sorted(options.only or series)
        ]
        whole = evaluation.measures(evaluation.total(counts))[0]
        each = ", ".join(f"{evaluation.measures(one)[0].false_per_day:.2f}" for one in counts)
        print(
            f"{'with' if labels else 'without'} labels: precision {whole.precision:.2f}, recall {whole.recall:.2f}, "
            f"F1 {whole.f1:.3f}, false alarms a day {whole.false_per_day:.2f} ({each}), "
            f"culprit first {whole.top1:.2f}, among three {whole.top3:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
