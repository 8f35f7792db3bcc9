"""python -m monitor_core: the service without a dashboard, on 127.0.0.1:8000 (HOST and PORT by --host, --port)."""

from __future__ import annotations

import argparse
import sys

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor_core.service.api import build_api
from monitor_core.service.bootstrap import Service, build
from monitor_core.service.server import CANNOT_START, log_plainly, running
from monitor_core.settings import load_settings_or_exit

GRACE_SECONDS = 3


def with_lifespan(api: ASGIApp, service: Service) -> ASGIApp:
    """The API, and the service started and stopped with the server."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await api(scope, receive, send)
            return
        await receive()
        async with running(service):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return app


def main(arguments: list[str] | None = None) -> int:
    """Runs until it is told to stop. Exit code 2: the settings are wrong or the data is in use."""
    parser = argparse.ArgumentParser(prog="python -m monitor_core", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    settings = load_settings_or_exit()
    log_plainly(settings.log_level)
    try:
        service = build(settings)
    except CANNOT_START as error:
        print(error, file=sys.stderr)
        return 2
    service.address = options.host

    uvicorn.run(
        with_lifespan(build_api(service), service),
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        # nobody in front is trusted to say who is calling, and nobody needs to know what answers
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
