"""Assets: the pages' own files and Plotly, from disk, compressed once and cached by browsers by their content."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor_core.service.access import Problem

PLOTLY = "plotly.min.js"
COMPRESSED = frozenset({".js", ".css", ".svg", ".txt", ".html"})
TYPES = {".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent: gzipped when `is_gzip`."""

    body: bytes
    etag: str
    media_type: str
    is_gzip: bool


class Assets:
    """Files below `folder`; read when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._known: dict[str, tuple[float, Asset]] = {}

    def find(self, path: str) -> Asset | None:
        """None for what is not there, and for every way out of the folder."""
        if path == PLOTLY:
            return self._read(path, Path(str(files("plotly") / "package_data" / PLOTLY)))
        file = (self._folder / path).resolve()
        if not file.is_relative_to(self._folder) or not file.is_file():
            return None
        return self._read(path, file)

    def _read(self, path: str, file: Path) -> Asset:
        changed = file.stat().st_mtime
        known = self._known.get(path)
        if known and known[0] == changed:
            return known[1]
        raw = file.read_bytes()
        small = file.suffix in COMPRESSED
        kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        etag = f'"{hashlib.sha256(raw).hexdigest()[:20]}"'
        asset = Asset(gzip.compress(raw, 9, mtime=0) if small else raw, etag, kind, small)
        self._known[path] = (changed, asset)
        return asset


def router(folder: Path) -> APIRouter:
    """GET /assets/…"""
    routes = APIRouter()
    assets = Assets(folder)

    @routes.get("/assets/{path:path}", include_in_schema=False)
    def asset(path: str, request: Request) -> Response:
        found = assets.find(path) if "\0" not in path else None
        if found is None:
            raise Problem(404, "No such file.")
        headers = {"ETag": found.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=headers)
        if not found.is_gzip:
            return Response(found.body, headers=headers, media_type=found.media_type)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(gzip.decompress(found.body), headers=headers, media_type=found.media_type)
        return Response(found.body, headers=headers | {"Content-Encoding": "gzip"}, media_type=found.media_type)

    return routes
