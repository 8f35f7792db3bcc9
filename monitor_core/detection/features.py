"""Features: what the forest sees of a sample, in units of the host's own scale, so that one forest serves all hosts."""

from __future__ import annotations

import numpy as np

from monitor_core.frame import FloatArray
from monitor_core.metrics import METRICS

FARTHEST = 12.0
FEATURES: tuple[str, ...] = tuple(f"{key}.{what}" for what in ("distance", "jump") for key in METRICS)


def features(distance: FloatArray, level: FloatArray, before: FloatArray, scale: FloatArray) -> FloatArray:
    """[n, 2 m]: distance from the baseline, then jump since the samples before; missing is 0, far is cut at 12."""
    jump = np.nan_to_num((level - before) / scale)
    return np.clip(np.concatenate([distance, jump], axis=1), -FARTHEST, FARTHEST)
