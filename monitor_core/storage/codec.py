"""Columns ↔ bytes. Values come back bit for bit; percentages with one decimal take half a byte each.

A column of numbers that are exact at up to three decimals is kept as differences of whole numbers, any other as its
float64 bytes, shuffled. Both are then compressed with zlib. Missing values lie in a bitmap of their own.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitor_core.frame import FloatArray, IntArray

RAW = 9
LEVEL = 1
_WIDTHS: tuple[type[np.signedinteger[Any]], ...] = (np.int8, np.int16, np.int32, np.int64)
Packed = tuple[int, int, bytes, bytes]


def pack_floats(column: FloatArray) -> Packed:
    """(decimals or RAW, width, missing bitmap, payload)."""
    missing = np.isnan(column)
    there = column[~missing]
    bitmap = np.packbits(missing).tobytes() if missing.any() else b""
    for decimals in range(4):
        if np.abs(there).max(initial=0) >= 2**30:
            break
        whole = np.rint(there * 10.0**decimals).astype(np.int64)
        if _same_bits(whole / 10.0**decimals, there):
            width, payload = _pack_differences(whole)
            return decimals, width, bitmap, payload
    shuffled = there.astype("<f8").view(np.uint8).reshape(-1, 8).T.tobytes()
    return RAW, 8, bitmap, zlib.compress(shuffled, LEVEL)


def unpack_floats(packed: Packed, n: int) -> FloatArray:
    """Inverse of `pack_floats` for a column of n."""
    decimals, width, bitmap, payload = packed
    missing = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=n).astype(np.bool_) if bitmap else None
    there: FloatArray
    if decimals == RAW:
        raw = np.frombuffer(zlib.decompress(payload), np.uint8)
        there = np.ascontiguousarray(raw.reshape(8, -1).T).view("<f8").ravel()
    else:
        there = _unpack_differences(width, payload) / 10.0**decimals
    if missing is None:
        return there
    out = np.full(n, np.nan)
    out[~missing] = there
    return out


def pack_integers(column: IntArray) -> tuple[int, bytes]:
    return _pack_differences(column)


def unpack_integers(packed: tuple[int, bytes]) -> IntArray:
    return _unpack_differences(*packed)


def _pack_differences(whole: IntArray) -> tuple[int, bytes]:
    differences = np.diff(whole, prepend=np.int64(0))
    # the first one is as large as the number itself; it must not decide the width of all
    first, rest = differences[:1], differences[1:]
    widest = int(np.abs(rest).max(initial=0))
    width = next(i for i, kind in enumerate(_WIDTHS) if widest <= np.iinfo(kind).max)
    return width, zlib.compress(first.astype("<i8").tobytes() + rest.astype(_WIDTHS[width]).tobytes(), LEVEL)


def _unpack_differences(width: int, payload: bytes) -> IntArray:
    raw = zlib.decompress(payload)
    first = np.frombuffer(raw[:8], "<i8")
    rest = np.frombuffer(raw[8:], _WIDTHS[width])
    return np.cumsum(np.concatenate([first, rest.astype(np.int64)]))


def _same_bits(a: FloatArray, b: FloatArray) -> bool:
    return bool(np.array_equal(a.view(np.int64), b.astype(np.float64).view(np.int64)))


def pack_arrays(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """Named arrays of any shape, compressed together, bytes of like weight side by side."""
    parts = []
    for name, array in arrays.items():
        flat = np.ascontiguousarray(array)
        shuffled = flat.view(np.uint8).reshape(-1, flat.itemsize).T.tobytes()
        parts.append((name, flat.dtype.str, flat.shape, shuffled))
    return zlib.compress(msgspec.msgpack.encode(parts), LEVEL)


def unpack_arrays(blob: bytes) -> dict[str, npt.NDArray[Any]]:
    """Inverse of `pack_arrays`."""
    parts = msgspec.msgpack.decode(zlib.decompress(blob), type=list[tuple[str, str, tuple[int, ...], bytes]])
    out = {}
    for name, kind, shape, raw in parts:
        size = np.dtype(kind).itemsize
        table = np.ascontiguousarray(np.frombuffer(raw, np.uint8).reshape(size, -1).T)
        out[name] = table.view(kind).reshape(shape)
    return out
