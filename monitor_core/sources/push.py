"""Push: a small client of POST /ingest, for collectors and the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import requests

from monitor_core.frame import Frame
from monitor_core.metrics import METRICS


class PushFailed(Exception):
    """The service did not take it; the message says why."""


@dataclass(frozen=True, slots=True)
class PushResult:
    """What the service did with the samples."""

    accepted: int
    rejected: int


def columns(frame: Frame) -> dict[str, Any]:
    """The frame as a columns body, missing values as None."""
    values = {
        key: [None if np.isnan(value) else value for value in frame.values[:, m].tolist()]
        for m, key in enumerate(METRICS)
    }
    simulated = frame.simulated[frame.code].tolist()
    return {"timestamp": frame.time.tolist(), "host": frame.host_names(), "simulated": simulated, **values}


class PushClient:
    """Posts to `url`/ingest, with the API token when there is one."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 5.0) -> None:
        self._url = f"{url.rstrip('/')}/ingest"
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Content-Type"] = "application/json"
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def send(self, frame: Frame) -> PushResult:
        return self.send_body(columns(frame))

    def send_body(self, body: dict[str, Any]) -> PushResult:
        """Raises PushFailed."""
        try:
            answer = self._session.post(
                self._url, data=orjson.dumps(body), timeout=self._timeout, allow_redirects=False
            )
        except requests.Timeout:
            raise PushFailed("the service did not answer in time") from None
        except requests.RequestException:
            raise PushFailed("the service cannot be reached") from None
        if answer.status_code != 200:
            raise PushFailed(f"the service answered {answer.status_code}")
        found = answer.json()
        return PushResult(int(found["accepted"]), len(found["rejected"]))
