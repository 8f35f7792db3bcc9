"""Labels over HTTP: set one, take it back, list them all."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.responses import Response

from monitor_core.labels import Label
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
        return json({"labels": [label_view(record) for record in found], "counts": tally(found)})

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
        found = await asyncio.to_thread(service.pipeline.label, row_id(incident_id), label, note)
        if found is None:
            raise Problem(404, "No such incident.")
        record = await asyncio.to_thread(service.state.label_of, found.id)
        return json({"incident": found.id, "label": found.label, "labelled": label_view(record)})

    return routes


def row_id(number: int) -> int:
    """An incident's number, if one can have it. Raises Problem."""
    if not 0 <= number < 2**63:
        raise Problem(404, "No such incident.")
    return number
