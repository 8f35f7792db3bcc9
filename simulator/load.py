"""Load: what healthy hosts show, as a pure function of seed, host and time, so that past and present agree.

Day and week give the curve, value noise at several time scales gives the wandering, white noise the rest. Memory and
disk I/O follow the CPU in part; disk use grows through the week and is cleaned up on Sunday night (UTC).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
CPU, MEMORY, DISK, DISK_IO = range(4)


def uniform(seed: int, *keys: npt.ArrayLike) -> Table:
    """Uniform in [0, 1) from whole numbers: splitmix64 (Steele, Lea, Flood 2014), applied key by key."""
    state = np.array(seed, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            state = _mix(state + np.asarray(key, dtype=np.int64).astype(np.uint64) * _GOLDEN)
    return (state >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def noise(seed: int, host: Whole, time: Whole, salt: int) -> Table:
    """Nearly normal white noise, mean 0, deviation 1, cut at about 3: the sum of four uniforms."""
    parts = [uniform(seed, salt, k, host, time) for k in range(4)]
    return (sum(parts) - 2.0) * np.sqrt(3.0)


def wander(seed: int, host: Whole, time: Whole, period_ms: int, salt: int) -> Table:
    """Smooth noise in [-1, 1] that turns about every `period_ms`."""
    step = time // period_ms
    share = (time % period_ms) / period_ms
    blend = share * share * (3 - 2 * share)
    left, right = (2 * uniform(seed, salt, host, step + k) - 1 for k in (0, 1))
    return left + (right - left) * blend


def load(seed: int, host: Whole, time: Whole) -> Table:
    """[n, 4] percent of CPU, memory, disk used and disk I/O busy for each (host number, ms UTC)."""
    own = [uniform(seed, 100 + k, host) for k in range(6)]
    day = _day(time, own[0])
    busy = wander(seed, host, time, 17 * 60_000, 1) * 4 + wander(seed, host, time, 4 * 60_000, 2) * 2
    cpu = 16 + 18 * own[1] + 16 * day + busy + 1.6 * noise(seed, host, time, 10)
    memory = 34 + 18 * own[2] + 0.22 * (cpu - 30) + 2.5 * wander(seed, host, time, 90 * 60_000, 3)
    memory += 0.5 * noise(seed, host, time, 11)
    week = (time % WEEK_MS) / WEEK_MS
    disk = 38 + 26 * own[3] + 5 * week + 0.1 * noise(seed, host, time, 12)
    disk_io = 5 + 8 * own[4] + 0.25 * (cpu - 20) + 1.3 * noise(seed, host, time, 13)
    table = np.stack([cpu, memory, disk, disk_io], axis=-1)
    return np.clip(table, 0.5, 80.0)


def _day(time: Whole, phase: Table) -> Table:
    """0..1: quiet at night, busy in the afternoon, half of it at the weekend; each host a little earlier or later."""
    hour = (time % DAY_MS) / 3_600_000 + 2 * (phase - 0.5)
    curve = 0.5 - 0.5 * np.cos((hour - 3) / 24 * 2 * np.pi)
    # 1970-01-01 was a Thursday
    weekday = (time // DAY_MS + 3) % 7
    return curve * np.where(weekday >= 5, 0.5, 1.0)
