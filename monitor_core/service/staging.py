"""Staging: what watches each host now and what will, from the state of the detectors and the alert budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from monitor_core.detection.alert_budget import KNOWS_AFTER_MS
from monitor_core.detection.stage import Known, Learned, learned
from monitor_core.service.judge import Judge
from monitor_core.service.training_set import of_own_past
from monitor_core.storage.state import KnownHost


def stages(judge: Judge, known: Mapping[str, KnownHost], names: Sequence[str], now: int, trains: bool) -> list[Learned]:
    """One for each of `names`. Under the pipeline's lock."""
    scorer, state = judge.scorer, judge.scorer.state
    rows = state.rows(names)
    spacing = np.fmax(state.gap_ms(rows), state.spacing_ms) if len(rows) else rows
    shares = scorer.models.voice(names).tolist() if scorer.models else [0.0] * len(names)
    taught = {*of_own_past(known.values()), *(scorer.models.hosts if scorer.models else ())}
    return [
        learned(
            Known(
                levels=int(state.levels[row]),
                level_ms=float(level_ms),
                model_version=scorer.model_version,
                history_ms=max(0, now - known[name].first_sample),
                past=share if name in taught else None,
                budget_ms=_budget_ms(judge, known[name]),
                trains=trains,
            )
        )
        for name, row, level_ms, share in zip(names, rows.tolist(), spacing.tolist(), shares, strict=True)
    ]


def _budget_ms(judge: Judge, host: KnownHost) -> int | None:
    """Until the alert budget knows it; 0: it does; None: the host has none."""
    if host.simulated or not math.isfinite(judge.budget.alerts_per_day):
        return None
    row = judge.spending.find(host.name)
    if row is None or not judge.spending.seen[row]:
        return KNOWS_AFTER_MS
    if not math.isnan(judge.spending.threshold[row]):
        return 0
    return max(1, int(KNOWS_AFTER_MS - judge.spending.last_time[row] + judge.spending.began[row]))
