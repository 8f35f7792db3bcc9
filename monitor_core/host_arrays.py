"""HostArrays: arrays with one row a host that grow, reset, copy, snapshot and restore together."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from monitor_core.frame import IntArray

NEVER = np.iinfo(np.int64).min // 2

Columns = dict[str, tuple[tuple[int, ...], Any, Any]]


class HostArrays:
    """Row i of every array named in `columns` (name: shape of a row, dtype, empty value) is host `names[i]`.

    `COLUMNS` are those of a class whose rows always have the same shape.
    """

    COLUMNS: ClassVar[Columns] = {}

    def __init__(self, columns: Columns | None = None) -> None:
        self.columns = self.COLUMNS if columns is None else columns
        self.names: list[str] = []
        self._index: dict[str, int] = {}
        for name, (shape, kind, empty) in self.columns.items():
            setattr(self, name, np.full((0, *shape), empty, dtype=kind))

    def rows(self, names: Sequence[str]) -> IntArray:
        """The row of each host; unknown hosts get a new one."""
        for name in names:
            if name not in self._index:
                self._index[name] = len(self.names)
                self.names.append(name)
        first = next(iter(self.columns))
        if len(self.names) > len(getattr(self, first)):
            self._grow(max(16, len(self.names) + len(self.names) // 4))
        return np.fromiter((self._index[name] for name in names), dtype=np.int64, count=len(names))

    def find(self, name: str) -> int | None:
        """The host's row, or None."""
        return self._index.get(name)

    def _grow(self, size: int) -> None:
        for name, (shape, kind, empty) in self.columns.items():
            larger = np.full((size, *shape), empty, dtype=kind)
            old = getattr(self, name)
            larger[: len(old)] = old
            setattr(self, name, larger)

    def reset(self, row: int) -> None:
        """Forget what this host showed; its row stays."""
        for name, (_, _, empty) in self.columns.items():
            getattr(self, name)[row] = empty

    def copy_into(self, other: Self, rows: IntArray) -> Self:
        """Fill an empty `other` with copies of these rows (row i = rows[i])."""
        other.names = [self.names[i] for i in rows.tolist()]
        other._index = {name: i for i, name in enumerate(other.names)}
        for name in self.columns:
            setattr(other, name, getattr(self, name)[rows].copy())
        return other

    def to_bytes(self) -> bytes:
        """Everything, for a snapshot."""
        out = io.BytesIO()
        arrays = {name: getattr(self, name)[: len(self.names)] for name in self.columns}
        np.savez(out, names=np.array(self.names, dtype=np.str_), **arrays)
        return out.getvalue()

    def load(self, blob: bytes) -> None:
        """Inverse of `to_bytes`. Raises ValueError for a snapshot of another shape."""
        with np.load(io.BytesIO(blob), allow_pickle=False) as saved:
            found = {name: saved[name] for name in saved.files}
        for name, (shape, kind, _) in self.columns.items():
            if name not in found or found[name].shape[1:] != shape or found[name].dtype != np.dtype(kind):
                raise ValueError(f"the snapshot has no usable column {name}")
        for name in self.columns:  # only now: a refused snapshot leaves nothing half loaded
            setattr(self, name, found[name])
        self.names = [str(host) for host in found["names"]]
        self._index = {host: i for i, host in enumerate(self.names)}
