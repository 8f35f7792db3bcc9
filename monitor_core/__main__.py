"""python -m monitor_core: the service without a dashboard, on 127.0.0.1:8000 (--host, --port).

python -m monitor_core copy --from sqlite --to influxdb --since 30d: one store into another; see docs/operations.md.

python -m monitor_core evaluate FILE.csv: how good detection is on labelled samples; see docs/detection.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor_core.service import copying, evaluating, recordings
from monitor_core.service import evaluation_table as table
from monitor_core.service.api import build_api
from monitor_core.service.bootstrap import STORES, Service, build, stores
from monitor_core.service.server import CANNOT_START, log_plainly, running, share_memory
from monitor_core.settings import load_settings_or_exit
from monitor_core.sources.labelled_csv import NotReadable
from monitor_core.sources.timestamps import parse_time

GRACE_SECONDS = 3


def with_lifespan(api: ASGIApp, service: Service) -> ASGIApp:
    """The API, and the service started and stopped with the server."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await api(scope, receive, send)
            return
        await receive()
        async with running(service, service.settings.request_seconds):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return app


def main(arguments: list[str] | None = None) -> int:
    """Runs until it is told to stop. Exit code 2: the settings are wrong or the data is in use."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["copy"]:
        return copy_stores(given[1:])
    if given[:1] == ["evaluate"]:
        return evaluate_files(given[1:])
    parser = argparse.ArgumentParser(prog="python -m monitor_core", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(given)
    settings = load_settings_or_exit()
    log_plainly(settings.log_level)
    share_memory()
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


def copy_stores(arguments: list[str]) -> int:
    """Exit code 1: what arrived is not what was sent, or a store is away; calling it again goes on where it was."""
    parser = argparse.ArgumentParser(prog="python -m monitor_core copy", description="Copy one store into another.")
    parser.add_argument("--from", dest="source", choices=STORES, required=True)
    parser.add_argument("--to", dest="target", choices=STORES, required=True)
    parser.add_argument("--since", default="30d", help="how far back: 12h, 30d or a time (default 30d)")
    options = parser.parse_args(arguments)
    if options.source == options.target:
        parser.error("--from and --to are the same store")
    settings = load_settings_or_exit()
    now = time.time_ns() // 1_000_000
    try:
        start = parse_time(options.since if "-" in options.since else f"-{options.since}", now)
        with stores(settings, options.source, options.target) as (source, target):
            path = settings.data_dir / f"copy-{options.source}-{options.target}.json"
            progress = copying.load(path, start, now)

            def tell(done: copying.Progress) -> None:
                copying.save(path, done)
                print(done.line(), flush=True)

            copying.copy(source, target, progress, tell)
    except (*CANNOT_START, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except copying.CopyFailed as error:
        print(f"{error}\nCall it again to go on from there.", file=sys.stderr)
        return 1
    print(f"done: {progress.samples:,} samples, {progress.rollups:,} rollups, {progress.anomalies:,} anomalies")
    return 0


def evaluate_files(arguments: list[str]) -> int:
    """Exit code 1: a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m monitor_core evaluate", description=recordings.__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.csv")
    parser.add_argument(
        "--labels", type=Path, help="JSON: {file or host: {events: [[first, last], …], kinds, culprits}}"
    )
    parser.add_argument("--without-forest", action="store_true", help="no model is trained on the way")
    options = parser.parse_args(arguments)
    settings = load_settings_or_exit()
    try:
        labels = recordings.read_labels(options.labels) if options.labels else {}
        verdicts = [
            recordings.evaluate(path, labels, settings, forest=not options.without_forest) for path in options.files
        ]
    except NotReadable as error:
        print(error, file=sys.stderr)
        return 1
    for path, verdict in zip(options.files, verdicts, strict=True):
        print(f"{path.name}: {table.summary(verdict)}")
    print(table.text(evaluating.together(verdicts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
