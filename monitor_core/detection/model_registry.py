"""Model registry: versions of the model on disk, as plain arrays with a checked manifest; no pickle.

A version is a folder `v0007/` with `manifest.json`, `forest.npz` and one more .npz for each further detector that
learns; it appears by one rename and its arrays never change. `comparison.json` joins it when it was held against the
version that spoke. The manifest carries the SHA-256 of each file of arrays, both JSON files that of themselves; all are
compared before anything is parsed, so a damaged file is refused and the version that speaks goes on speaking.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor_core.detection.comparison import Comparison, comparison_from
from monitor_core.detection.detectors.isolation_forest import Forest
from monitor_core.detection.features import FEATURES

FORMAT = 1
KEPT_VERSIONS = 20
Arrays = Mapping[str, npt.NDArray[Any]]
_GROUP = re.compile(r"^(?!forest$)[a-z][a-z0-9_]{0,40}$")
_ARRAYS = ("roots", "feature", "left", "threshold", "path")
_DTYPES = {"roots": "<i4", "feature": "<i4", "left": "<i4", "threshold": "<f8", "path": "<f8"}


class ModelDamaged(Exception):
    """A version's files are not what was written; the message says which and how."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a version was taught. Times ms UTC; `seconds` the training took; `unusual_share` of the training rows
    scored as unusual by the forest alone; `votes` how many of them fell into each bin of its vote (see `drift.py`;
    empty: not counted)."""

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
    votes: tuple[int, ...] = ()


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

    def save(self, info: ModelInfo, forest: Forest, extra: Mapping[str, Arrays] | None = None) -> None:
        """Write a new version; it is there completely or not at all. `extra`: arrays of further detectors, by name."""
        wrong = [name for name in extra or {} if not _GROUP.match(name)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no name for a group of arrays")
        files = {"forest": _pack(_forest_arrays(forest))} | {name: _pack(own) for name, own in (extra or {}).items()}
        target = self._path(info.version)
        draft = self._folder / f".draft-{info.version}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for name, content in files.items():
            _write_durably(draft / f"{name}.npz", content)
        _write_durably(draft / "manifest.json", _checked(_manifest(info, forest, files)))
        draft.rename(target)
        _sync_folder(self._folder)

    def load(self, version: int) -> tuple[ModelInfo, Forest]:
        """Raises ModelDamaged."""
        manifest = self._manifest(version)
        arrays = self._arrays(version, "forest", manifest["sha256"])
        return _info(manifest), _forest(arrays, manifest, version)

    def groups(self, version: int) -> list[str]:
        """Names of the further groups of arrays that the version has. Raises ModelDamaged."""
        return sorted(self._manifest(version).get("extra", {}))

    def further(self, version: int, name: str) -> dict[str, npt.NDArray[Any]]:
        """One further group of arrays; empty when the version has none of that name. Raises ModelDamaged."""
        digest = self._manifest(version).get("extra", {}).get(name)
        return self._arrays(version, name, digest) if digest else {}

    def info(self, version: int) -> ModelInfo:
        """What the version was taught, without its arrays. Raises ModelDamaged."""
        return _info(self._manifest(version))

    def attach(self, version: int, comparison: Comparison) -> None:
        """Keep beside the version how it compares with the one that spoke."""
        target = self._path(version) / "comparison.json"
        draft = target.with_suffix(".draft")
        _write_durably(draft, _checked(asdict(comparison)))
        draft.replace(target)
        _sync_folder(target.parent)

    def comparison(self, version: int) -> Comparison | None:
        """None when it was not compared. Raises ModelDamaged."""
        if not (self._path(version) / "comparison.json").exists():
            return None
        try:
            return comparison_from(self._json(version, "comparison.json"))
        except ValueError as error:
            raise ModelDamaged(f"model version {version}: comparison.json is of another shape") from error

    def prune(self, kept: Collection[int], most: int = KEPT_VERSIONS) -> list[int]:
        """Remove all but the newest `most` and those in `kept`; returns what was removed."""
        removed = [version for version in self.versions()[:-most] if version not in kept]
        for version in removed:
            going = self._folder / f".gone-{version}"
            self._path(version).rename(going)  # first out of sight: half a version would be called damaged
            shutil.rmtree(going, ignore_errors=True)
        return removed

    def _manifest(self, version: int) -> dict[str, Any]:
        manifest = self._json(version, "manifest.json")
        if manifest["format"] != FORMAT or tuple(manifest["features"]) != FEATURES:
            raise ModelDamaged(f"model version {version} was made for other features")
        return manifest

    def _json(self, version: int, name: str) -> dict[str, Any]:
        head, _, body = _read(self._path(version) / name).partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != head:
            raise ModelDamaged(f"model version {version}: {name} differs from its checksum")
        parsed: dict[str, Any] = json.loads(body)
        return parsed

    def _arrays(self, version: int, name: str, digest: str) -> dict[str, npt.NDArray[Any]]:
        content = _read(self._path(version) / f"{name}.npz")
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelDamaged(f"model version {version}: {name}.npz differs from its checksum")
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            return {key: saved[key] for key in saved.files}

    def _path(self, version: int) -> Path:
        return self._folder / f"v{version:04d}"


def _forest_arrays(forest: Forest) -> Arrays:
    return {name: np.asarray(getattr(forest, name), dtype=_DTYPES[name]) for name in _ARRAYS}


def _pack(arrays: Arrays) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    return out.getvalue()


def _manifest(info: ModelInfo, forest: Forest, files: Mapping[str, bytes]) -> dict[str, Any]:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return {
        "format": FORMAT,
        "features": FEATURES,
        "sha256": digests.pop("forest"),
        "extra": digests,
        "depth": forest.depth,
        "normaliser": forest.normaliser,
        "typical": forest.typical,
        "rare": forest.rare,
        "info": asdict(info),
    }


def _checked(content: dict[str, Any]) -> bytes:
    """First line: the checksum of the rest."""
    body = json.dumps(content, indent=1).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _info(manifest: dict[str, Any]) -> ModelInfo:
    """What a newer program wrote beside it is left out."""
    known = {field.name for field in fields(ModelInfo)}
    own = {name: value for name, value in manifest["info"].items() if name in known}
    return ModelInfo(**own | {"votes": tuple(own.get("votes", ()))})


def _forest(tables: dict[str, Any], manifest: dict[str, Any], version: int) -> Forest:
    nodes = len(tables["feature"])
    inside = all(len(tables[name]) == nodes for name in ("left", "threshold", "path"))
    if not inside or not nodes or tables["left"].max() >= nodes or tables["roots"].max() >= nodes:
        raise ModelDamaged(f"model version {version}: its trees point outside themselves")
    return Forest(
        **{name: tables[name] for name in _ARRAYS},
        **{name: manifest[name] for name in ("depth", "normaliser", "typical", "rare")},
    )


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
