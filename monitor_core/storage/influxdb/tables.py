"""Tables: InfluxDB's CSV answers → arrays (pure).

An answer is a list of tables separated by empty lines; tables of other columns (no host, another type of value) have a
header of their own, and a fault that the server met half-way arrives as one of them, inside an answer that says 200.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import csv

from monitor_core.frame import DEFAULT_HOST, FloatArray, IntArray
from monitor_core.storage.timeseries import StoreUnavailable

_TIME = pa.timestamp("ms", tz="UTC")
_TEXT = pa.dictionary(pa.int32(), pa.string())
_TYPES = {
    "": pa.string(), "table": pa.int32(), "result": _TEXT, "_time": _TIME, "_value": pa.float64(), "_field": _TEXT,
    "host": _TEXT, "reason": pa.string(),
}  # fmt: skip
_READ = csv.ReadOptions(use_threads=False)
_HOST_SHIFT = 42  # 139 years of ms below it
_CONVERT = csv.ConvertOptions(column_types=_TYPES, strings_can_be_null=True)


Column = tuple[str, str]  # (yield, field)
ONLY = "_result"  # the yield's name in an answer that has one


@dataclass(frozen=True, slots=True, eq=False)
class Wide:
    """One row a host and instant, ascending: `host` [r] into `hosts`, `time` [r] ms, `values` [r, columns] or NaN."""

    hosts: tuple[str, ...]
    host: IntArray
    time: IntArray
    values: FloatArray

    def of(self, host: str) -> Wide:
        """The rows of one host."""
        number = self.hosts.index(host) if host in self.hosts else -1
        rows = self.host == number
        return Wide(self.hosts, self.host[rows], self.time[rows], self.values[rows])


def blocks(answer: bytes) -> list[pa.Table]:
    """Every table of the answer. Raises StoreUnavailable when one of them is a fault."""
    found = []
    for block in answer.replace(b"\r\n", b"\n").split(b"\n\n"):
        if not block.strip():
            continue
        head, _, body = block.lstrip(b"\n").partition(b"\n")
        if b"error" in head.split(b","):
            raise StoreUnavailable(f"InfluxDB answers: {body.decode('utf-8', 'replace').strip(', ')[:300]}")
        if body.strip():
            found.append(csv.read_csv(io.BytesIO(block), _READ, convert_options=_CONVERT))
    return found


def wide(tables: Sequence[pa.Table], columns: Sequence[Column]) -> Wide:
    """The values of the columns asked for, others left out; a table without a host is `default`'s."""
    hosts: dict[str, int] = {}
    parts = [_one(table, columns, hosts) for table in tables if "_value" in table.column_names]
    if not parts:
        none = np.zeros(0, np.int64)
        return Wide((), none, none, np.zeros((0, len(columns))))
    host, time, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    wanted = column >= 0
    if not wanted.all():
        host, time, column, value = host[wanted], time[wanted], column[wanted], value[wanted]
    first = int(time.min()) if len(time) else 0
    keys, row = np.unique((host << _HOST_SHIFT) | (time - first), return_inverse=True)
    values = np.full((len(keys), len(columns)), np.nan)
    values[row.ravel(), column] = value
    return Wide(tuple(hosts), keys >> _HOST_SHIFT, (keys & ((1 << _HOST_SHIFT) - 1)) + first, values)


def _one(
    table: pa.Table, columns: Sequence[Column], hosts: dict[str, int]
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """(host, time, column, value) of each row; column -1: not asked for."""
    code, names = _codes(table, "host", DEFAULT_HOST)
    own = np.array([hosts.setdefault(name, len(hosts)) for name in names], dtype=np.int64)
    result, results = _codes(table, "result", ONLY)
    field, fields = _codes(table, "_field", "")
    places = {column: i for i, column in enumerate(columns)}
    at = np.array([[places.get((r, f), -1) for f in fields] for r in results], dtype=np.int64)
    time = table["_time"].cast(pa.int64()).to_numpy() if "_time" in table.column_names else np.zeros(len(table))
    return own[code], time.astype(np.int64), at[result, field], table["_value"].to_numpy()


def _codes(table: pa.Table, column: str, missing: str) -> tuple[IntArray, list[str]]:
    """(code [n], words) of a column of words; a missing column or word is `missing`."""
    if column not in table.column_names:
        return np.zeros(len(table), np.int64), [missing]
    whole = table[column].combine_chunks()
    array = whole if isinstance(whole, pa.DictionaryArray) else whole.chunk(0)
    words = array.dictionary.to_pylist()
    code = array.indices.fill_null(len(words)).to_numpy(zero_copy_only=False).astype(np.int64)
    return code, [*words, missing]
