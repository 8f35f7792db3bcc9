"""Buckets: means of what fills up (memory, disk) over stretches of time, from seconds to hours, for the slow channel.

Samples go into buckets of 15 s; a bucket that is over goes into those of a minute, and so on. Each scale keeps its
last `WINDOW` buckets; minutes and half hours also 48 before them. Windows are stretches of time: it does not matter how
often a host speaks, as long as no bucket stays empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from monitor_core.frame import FloatArray, IntArray
from monitor_core.host_arrays import Columns, HostArrays

BUCKET_MS = (15_000, 60_000, 240_000, 1_800_000)
WINDOW = 12
EARLIER = 48  # before the window: of minutes about an hour, of half hours a day
_S = len(BUCKET_MS)
_HOUR, _DAY = 1, 3
_RINGS = tuple(WINDOW + EARLIER * (scale in {_HOUR, _DAY}) for scale in range(_S))
_NONE = -1


class Closed(NamedTuple):
    """Hosts (`rows`) of which a bucket of `scale` is over, with the `window` [n, fills, WINDOW] of means that it ends.

    A window with a hole is NaN as a whole.
    """

    scale: int
    rows: IntArray
    window: FloatArray


def bucket_columns(fills: int) -> Columns:
    """What `BucketArrays` needs for so many metrics."""
    return {
        "open_id": ((_S,), np.int64, _NONE),
        "open_sum": ((_S, fills), np.float64, 0.0),
        "open_count": ((_S, fills), np.int64, 0),
        **{f"bucket_id_{s}": ((ring,), np.int32, _NONE) for s, ring in enumerate(_RINGS)},
        **{f"bucket_{s}": ((fills, ring), np.float32, np.nan) for s, ring in enumerate(_RINGS)},
    }


class BucketArrays(HostArrays):
    """The buckets of every host: the open one of each scale, and rings of those that are over.

    `fills`: places of the metrics that they are about.
    """

    open_id: IntArray
    open_sum: FloatArray
    open_count: IntArray

    def __init__(self, columns: Columns, fills: IntArray) -> None:
        super().__init__(columns)
        self.fills = fills

    def fill_buckets(self, rows: IntArray, time: IntArray, values: FloatArray) -> Iterator[Closed]:
        """Take one sample for each of `rows` (newer than its last); tells what is over with it."""
        value = values[:, self.fills]
        for scale, length in enumerate(BUCKET_MS):
            place = time // length
            over = np.flatnonzero(self.open_id[rows, scale] != place)
            closed = self._close(scale, rows[over], place[over]) if len(over) else None
            self._add(scale, rows, value)
            if closed is None:
                return
            ended, mean = closed
            known = ended >= 0
            rows, value, ended, place = rows[over][known], mean[known], ended[known], place[over][known]
            if not len(rows):
                return
            # after a gap the window that just ended says nothing about now
            yield Closed(scale, rows, self._window(scale, rows, np.where(place == ended + 1, ended, _NONE)))
            time = ended * length

    def highest_before(self, rows: IntArray) -> FloatArray:
        """[n, scales, fills] highest bucket before the window of each scale; NaN: not known.

        For the two short windows that of the hour before, for the long ones that of the day before the longest.
        """
        hour = self._at(_HOUR, rows, self.open_id[rows, _HOUR][:, None] - 1 - np.arange(WINDOW + EARLIER))
        day = self._at(_DAY, rows, self.open_id[rows, _DAY][:, None] - 1 - WINDOW - np.arange(EARLIER))
        enough = (~np.isnan(day)).sum(axis=2) > EARLIER // 2
        longest = np.where(enough, np.fmax.reduce(day, axis=2, initial=-np.inf), np.nan)
        # the newest minutes are the window itself
        short = [np.fmax.reduce(hour[:, :, own:], axis=2) for own in (WINDOW * BUCKET_MS[0] // BUCKET_MS[1], WINDOW)]
        return np.stack([*short, longest, longest], axis=1)

    def _close(self, scale: int, rows: IntArray, place: IntArray) -> tuple[IntArray, FloatArray]:
        """Move the open bucket of `rows` into its ring and open the one at `place`; which one ended, and its means."""
        ended = self.open_id[rows, scale]
        count = self.open_count[rows, scale]
        mean = np.where(count > 0, self.open_sum[rows, scale] / np.maximum(count, 1), np.nan)
        slot = ended % _RINGS[scale]
        getattr(self, f"bucket_id_{scale}")[rows, slot] = ended
        getattr(self, f"bucket_{scale}")[rows, :, slot] = mean
        self.open_id[rows, scale] = place
        self.open_sum[rows, scale] = 0.0
        self.open_count[rows, scale] = 0
        return ended, mean

    def _add(self, scale: int, rows: IntArray, value: FloatArray) -> None:
        there = ~np.isnan(value)
        self.open_sum[rows, scale] += np.where(there, value, 0.0)
        self.open_count[rows, scale] += there

    def _window(self, scale: int, rows: IntArray, ended: IntArray) -> FloatArray:
        window = self._at(scale, rows, ended[:, None] - np.arange(WINDOW - 1, -1, -1))
        return np.where(np.isnan(window).any(axis=2, keepdims=True), np.nan, window)

    def _at(self, scale: int, rows: IntArray, places: IntArray) -> FloatArray:
        """[n, fills, k] means of the buckets at `places` [n, k]; NaN where there is none."""
        slots = places % _RINGS[scale]
        ids: npt.NDArray[np.int32] = getattr(self, f"bucket_id_{scale}")[rows[:, None], slots]
        means = getattr(self, f"bucket_{scale}")[
            rows[:, None, None], np.arange(len(self.fills))[None, :, None], slots[:, None, :]
        ]
        return np.where(((ids == places) & (places >= 0))[:, None, :], means, np.nan).astype(np.float64)
