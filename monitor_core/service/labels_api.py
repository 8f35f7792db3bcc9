"""Labels over HTTP: set one, take it back, list them all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import Response

from monitor_core.labels import Label, Labelled
from monitor_core.service import previewing
from monitor_core.service.access import Problem
from monitor_core.service.bootstrap import Service
from monitor_core.service.labelling import label_view, tally
from monitor_core.service.original_api import host_name, json

MAX_NOTE = 2_000


def router(service: Service) -> APIRouter:
    """/v1/labels and /v1/incidents/{id}/label."""
    routes = APIRouter(prefix="/v1", tags=["labels"])

    @routes.get("/labels", summary="Every label with what it changes, the newest first")
    async def labels(host: str | None = None) -> Response:
        found = await asyncio.to_thread(service.state.labels, host_name(host) if host is not None else None)
        views = await asyncio.to_thread(labels_view, service, found)
        return json({"labels": views, "counts": tally(found)})

    @routes.get("/incidents/{incident_id}/label/preview", summary="What each label would change, before one is set")
    async def preview(incident_id: int) -> Response:
        found = await asyncio.to_thread(service.state.incident, row_id(incident_id))
        if found is None:
            raise Problem(404, "No such incident.")
        return json(await asyncio.to_thread(previewing.previews, service, found))

    @routes.put("/incidents/{incident_id}/label", summary="Say what it really was; replaces the label before")
    async def put(
        incident_id: int,
        label: Annotated[Label, Body()],
        note: Annotated[str | None, Body(max_length=MAX_NOTE)] = None,
    ) -> Response:
        return await _change(incident_id, label, note)

    @routes.delete("/incidents/{incident_id}/label", summary="Take the label back")
    async def take_back(incident_id: int) -> Response:
        return await _change(incident_id, None, None)

    async def _change(incident_id: int, label: Label | None, note: str | None) -> Response:
        before = await asyncio.to_thread(service.state.incident, row_id(incident_id))
        foreseen = await asyncio.to_thread(previewing.previews, service, before) if before and label else {}
        found = await asyncio.to_thread(service.pipeline.label, row_id(incident_id), label, note)
        if found is None:
            raise Problem(404, "No such incident.")
        view = await asyncio.to_thread(labelled_view, service, found.id)
        if view is not None and label is not None and before is not None and before.label is not label:
            # afterwards nobody can say so exactly what it was before
            view["hindsight"] = {key: value for key, value in foreseen[label].items() if key != "effect"}
        return json({"incident": found.id, "label": found.label, "labelled": view})

    return routes


def labels_view(service: Service, records: Sequence[Labelled]) -> list[dict[str, Any]]:
    """Each with what it changes and what it would have changed."""
    return [label_view(*pair) for pair in zip(records, previewing.so_far(service, records), strict=True)]


def labelled_view(service: Service, incident_id: int) -> dict[str, Any] | None:
    """The label of one incident; None: it has none."""
    record = service.state.label_of(incident_id)
    return labels_view(service, [record])[0] if record is not None else None


def row_id(number: int) -> int:
    """An incident's number, if one can have it. Raises Problem."""
    if not 0 <= number < 2**63:
        raise Problem(404, "No such incident.")
    return number
