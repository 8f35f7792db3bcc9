"""Model registry: versions of the forest on disk, as plain arrays with a checked manifest; no pickle.

A version is a folder `v0007/` with `forest.npz` and `manifest.json`; it appears by one rename and never changes.
The manifest carries the SHA-256 of the arrays and of itself, both compared before anything is parsed, so a damaged
file is refused and the version that speaks goes on speaking.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor_core.detection.detectors.isolation_forest import Forest
from monitor_core.detection.features import FEATURES

FORMAT = 1
_ARRAYS = ("roots", "feature", "left", "threshold", "path")
_DTYPES = {"roots": "<i4", "feature": "<i4", "left": "<i4", "threshold": "<f8", "path": "<f8"}


class ModelDamaged(Exception):
    """A version's files are not what was written; the message says which and how."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a version was taught. Times ms UTC; `seconds` the training took; `threshold_share` of the training rows
    scored as unusual by the forest alone."""

    version: int
    created_at: int
    samples: int
    hosts: int
    simulated: bool
    start: int
    stop: int
    reason: str
    seconds: float
    unusual_share: float


class ModelRegistry:
    """Versions under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def versions(self) -> list[int]:
        """Numbers of all versions on disk, oldest first; damaged ones are among them."""
        found = [path.name[1:] for path in self._folder.glob("v[0-9]*") if path.is_dir()]
        return sorted(int(number) for number in found if number.isdigit())

    def next_version(self) -> int:
        return max(self.versions(), default=0) + 1

    def save(self, info: ModelInfo, forest: Forest) -> None:
        """Write a new version; it is there completely or not at all."""
        target = self._path(info.version)
        draft = self._folder / f".draft-{info.version}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        arrays = _pack(forest)
        _write_durably(draft / "forest.npz", arrays)
        _write_durably(draft / "manifest.json", _manifest(info, forest, arrays))
        draft.rename(target)
        _sync_folder(self._folder)

    def load(self, version: int) -> tuple[ModelInfo, Forest]:
        """Raises ModelDamaged."""
        manifest = self._manifest(version)
        arrays = _read(self._path(version) / "forest.npz")
        if hashlib.sha256(arrays).hexdigest() != manifest["sha256"]:
            raise ModelDamaged(f"model version {version}: forest.npz differs from its checksum")
        return ModelInfo(**manifest["info"]), _unpack(arrays, manifest, version)

    def info(self, version: int) -> ModelInfo:
        """What the version was taught, without its arrays. Raises ModelDamaged."""
        return ModelInfo(**self._manifest(version)["info"])

    def _manifest(self, version: int) -> dict[str, Any]:
        raw = _read(self._path(version) / "manifest.json")
        head, _, body = raw.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != head:
            raise ModelDamaged(f"model version {version}: manifest.json differs from its checksum")
        manifest: dict[str, Any] = json.loads(body)
        if manifest["format"] != FORMAT or tuple(manifest["features"]) != FEATURES:
            raise ModelDamaged(f"model version {version} was made for other features")
        return manifest

    def _path(self, version: int) -> Path:
        return self._folder / f"v{version:04d}"


def _pack(forest: Forest) -> bytes:
    out = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(getattr(forest, name), dtype=_DTYPES[name]) for name in _ARRAYS}
    np.savez(out, **arrays)
    return out.getvalue()


def _manifest(info: ModelInfo, forest: Forest, arrays: bytes) -> bytes:
    """First line: the checksum of the rest."""
    body = json.dumps(
        {
            "format": FORMAT,
            "features": FEATURES,
            "sha256": hashlib.sha256(arrays).hexdigest(),
            "depth": forest.depth,
            "normaliser": forest.normaliser,
            "typical": forest.typical,
            "rare": forest.rare,
            "info": asdict(info),
        },
        indent=1,
    ).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _unpack(arrays: bytes, manifest: dict[str, Any], version: int) -> Forest:
    with np.load(io.BytesIO(arrays), allow_pickle=False) as saved:
        tables = {name: saved[name] for name in _ARRAYS}
    nodes = len(tables["feature"])
    inside = all(len(tables[name]) == nodes for name in ("left", "threshold", "path"))
    if not inside or not nodes or tables["left"].max() >= nodes or tables["roots"].max() >= nodes:
        raise ModelDamaged(f"model version {version}: its trees point outside themselves")
    return Forest(**tables, **{name: manifest[name] for name in ("depth", "normaliser", "typical", "rare")})


def _read(path: Path) -> bytes:
    if path.is_symlink():
        raise ModelDamaged(f"{path.parent.name}/{path.name} is a link")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelDamaged(f"{path.parent.name}/{path.name} cannot be read: {error.strerror}") from error


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
