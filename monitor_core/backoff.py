"""Backoff: how long to wait before the next try, the same for every other side that may be away (pure)."""

from __future__ import annotations

LONGEST_RETRY_AFTER_SECONDS = 60.0
JITTER = 0.2


def next_delay_seconds(attempt: int, retry_after: float | None, jitter: float, longest: float) -> float:
    """Seconds to wait after `attempt` failed tries (0 is the first): 1, 2, 4 … up to `longest`, give or take 20 %.

    What the other side asks for (`retry_after`) outranks that, but nobody may make us wait for more than a minute.
    `jitter` 0..1 spreads the tries of many senders.
    """
    if retry_after is not None:
        return min(max(retry_after, 0.0), LONGEST_RETRY_AFTER_SECONDS)
    delay = min(2.0 ** min(attempt, 20), longest)
    return delay * (1 - JITTER + 2 * JITTER * jitter)
