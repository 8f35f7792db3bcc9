"""Labelled CSV: recorded samples with what was wrong beside them, read by the rules that /ingest has.

Columns: `time` (RFC 3339 or epoch), the metrics, and if there are any `host`, `label` and `culprit`. A label that is
neither empty nor 0 says that something was wrong and what; culprits are metrics joined by +.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from monitor_core.frame import HOST_PATTERN, Frame, Rejection
from monitor_core.metrics import METRICS
from monitor_core.sources.payload import parse_body

# a recording may be of any day, so nothing in it is "ahead of now"
END_OF_TIME_MS = 253_402_300_799_000
NORMAL = frozenset({"", "0", "0.0"})


class NotReadable(Exception):
    """This file is no CSV of samples; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The samples of a file in its order; `label` and `culprit` of each (empty: normal, unknown)."""

    frame: Frame
    label: list[str]
    culprit: list[str]
    rejected: list[Rejection]


def read(path: Path) -> Recorded:
    """All samples of the file; without a host column the host is named as the file. Raises NotReadable."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NotReadable(f"{path} cannot be read: {error}") from None
    columns = set(rows[0]) if rows else set()
    if "time" not in columns or not columns & set(METRICS):
        raise NotReadable(f"{path} needs a column time, a metric ({', '.join(METRICS)}) and a row")
    host = path.name.split(".")[0]
    if "host" not in columns and not HOST_PATTERN.fullmatch(host):
        raise NotReadable(f"{path} has no column host, and its own name cannot be one")
    parsed = parse_body(msgspec.json.encode([_sample(row, host) for row in rows]), END_OF_TIME_MS)
    refused = {rejection.index for rejection in parsed.rejected}
    kept = [row for index, row in enumerate(rows) if index not in refused]
    labels = [(row.get("label") or "").strip() for row in kept]
    return Recorded(
        frame=parsed.frame,
        label=["" if label in NORMAL else label for label in labels],
        culprit=[(row.get("culprit") or "").strip() for row in kept],
        rejected=parsed.rejected,
    )


def _sample(row: dict[str, str], host: str) -> dict[str, Any]:
    """As somebody would have posted it."""
    values = {key: number for key in METRICS if (number := _number(row.get(key))) is not None}
    # a sample without a time would be about now
    return {"timestamp": _number(row["time"]) or "missing", "host": row.get("host") or host, **values}


def _number(text: str | None) -> float | str | None:
    """The number; None when there is none; what is no number stays as it is and is refused."""
    if text is None or text.strip().lower() in {"", "nan"}:
        return None
    try:
        number = float(text)
    except ValueError:
        return text.strip()
    return number if math.isfinite(number) else text
