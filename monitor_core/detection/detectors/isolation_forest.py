"""Isolation forest (Liu, Ting, Zhou 2008) as plain arrays: one forest for all hosts, fed by `features.py`.

Catches: odd combinations and jumps of the metrics, relative to each host's own baseline. Misses: whatever was common
in its training data. Needs: a trained model version; scikit-learn trains, these arrays score (equal to scikit-learn).

Nodes lie breadth first, children side by side; a leaf points to itself with threshold +inf, so all rows walk the same
number of steps without a branch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor_core.frame import FloatArray

CHUNK = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """T trees of N nodes in all: `roots` [T]; `feature`, `left`, `threshold`, `path` [N]; `depth` steps to any leaf.

    `path` at a leaf is the path length it stands for; `normaliser` is T times the mean path length of a tree.
    `typical` and `rare` are the raw scores that half and 99.9 % of the training rows stay below.
    """

    roots: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    left: npt.NDArray[np.int32]
    threshold: FloatArray
    path: FloatArray
    depth: int
    normaliser: float
    typical: float
    rare: float


def raw_scores(forest: Forest, features: FloatArray) -> FloatArray:
    """[n] 0..1 as in the paper: near 0.5 is ordinary, near 1 is isolated. Equals -score_samples of scikit-learn."""
    # scikit-learn compares in float32; so do we, or rows on a threshold would fall on the other side
    table = np.ascontiguousarray(features, dtype=np.float32)
    parts = [_raw(forest, table[i : i + CHUNK]) for i in range(0, len(table), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _raw(forest: Forest, table: npt.NDArray[np.float32]) -> FloatArray:
    n, width = table.shape
    flat = table.ravel()
    base = np.arange(n, dtype=np.int64) * width
    node = np.repeat(forest.roots[:, None], n, axis=1)
    for _ in range(forest.depth):
        node = forest.left[node] + (flat[base + forest.feature[node]] > forest.threshold[node])
    # added tree by tree, as scikit-learn does: sum() would group the trees otherwise when there is only one row
    depths = np.add.accumulate(forest.path[node], axis=0)[-1]
    return np.exp2(-depths / forest.normaliser)


def score(forest: Forest, features: FloatArray) -> FloatArray:
    """[n] 0 at the typical training row, 0.5 at the rarest in a thousand, 1 twice as far."""
    spread = max(forest.rare - forest.typical, 1e-6)
    return np.clip(0.5 * (raw_scores(forest, features) - forest.typical) / spread, 0.0, 1.0)
