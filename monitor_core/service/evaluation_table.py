"""Evaluation table: the figures of a verdict as text, a row for all events and one for each kind (pure)."""

from __future__ import annotations

import math

from monitor_core.detection import evaluation
from monitor_core.detection.evaluation import DAY_S, Measures
from monitor_core.service.evaluating import Verdict

COLUMNS = ("kind", "events", "recall", "precision", "F1", "FA/host-day", "FA/host-hour", "delay", "top-1", "top-3")


def summary(verdict: Verdict) -> str:
    """One line: what went in and what came out."""
    return (
        f"{verdict.hosts} host{'s' if verdict.hosts != 1 else ''}, {verdict.samples:,} samples, "
        f"{verdict.counts.normal_s / DAY_S:.2f} normal host-days; VUS-PR {_number(verdict.vus_pr, 3)}; "
        f"{verdict.incidents} incidents, {verdict.false_incidents} of them outside all events, "
        f"{verdict.silent_incidents} of silence; {verdict.counts.false_benign} false alarms during something benign"
    )


def text(verdict: Verdict) -> str:
    """The summary and the table."""
    rows = [COLUMNS, *(_row(measured) for measured in evaluation.measures(verdict.counts))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([summary(verdict), *(line.rstrip() for line in lines)])


def _row(measured: Measures) -> tuple[str, ...]:
    """A false alarm has no kind: what depends on them stands in the row of all."""
    whole = measured.kind == "all"
    return (
        measured.kind,
        str(measured.events),
        _number(measured.recall),
        _number(measured.precision) if whole else "",
        _number(measured.f1) if whole else "",
        _number(measured.false_per_day) if whole else "",
        _number(measured.false_per_hour, 3) if whole else "",
        "–" if math.isnan(measured.delay_s) else f"{measured.delay_s:.0f} s",
        _number(measured.top1),
        _number(measured.top3),
    )


def _number(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
