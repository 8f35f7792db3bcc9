"""Health: is every part doing its work? One list of problems feeds /-/ready, /health and the system page."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import psutil

from monitor_core import __version__
from monitor_core.notifications import DeliveryState
from monitor_core.service.bootstrap import Service
from monitor_core.service.counters import Gauge
from monitor_core.storage.timeseries import StoreHealth

MISSED_TICKS = 3
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", ""})
WAL_RESET_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))


def problems(service: Service) -> list[str]:
    """Sentences about what does not work now; none: ready."""
    found = [f"A part of the service has stopped: {name}." for name in service.dead_threads()]
    store = service.store.health()
    if not store.reachable and service.storing.away is None:
        found.append(f"The store does not answer: {store.error}.")
    found += [f"{sentence}." for sentence in waiting_sentences(service)]
    if service.pipeline.last_error:
        found.append(f"Scoring has a fault: {service.pipeline.last_error}.")
    if service.learning.damaged:
        found.append(f"A model version is damaged: {service.learning.damaged}.")
    return found + _late_collectors(service)


def waiting_sentences(service: Service) -> list[str]:
    """What keeps samples from being stored, in words; none: nothing does."""
    away = service.storing.away
    found = []
    if away is not None:
        waiting = service.storing.backlog()
        since = f"{datetime.fromtimestamp(away.since / 1000, UTC):%H:%M} UTC"
        who = "takes no samples until somebody sets it right" if away.needs_operator else "takes no samples"
        found.append(
            f"The database {who}, since {since}: {away.reason}. {waiting.samples:,} samples wait in the journal"
        )
    if service.storing.given_up:
        found.append(f"{service.storing.given_up:,} samples were given up: more waited than SPOOL_MAX_BYTES allows")
    return found


def _late_collectors(service: Service) -> list[str]:
    longest = max(MISSED_TICKS * service.settings.sample_interval_seconds, 3.0)
    now = service.clock.monotonic()
    return [
        f"No sample of {collector.source.name} for {now - collector.last_tick:.0f} s."
        for collector in service.collectors
        if collector.last_tick is not None and now - collector.last_tick > longest
    ]


def notices(service: Service) -> list[str]:
    """What an operator should know, though nothing is broken."""
    return [*own_notices(service), *service.store.health().notices]


def own_notices(service: Service) -> list[str]:
    """The part of them that belongs on every page."""
    found = list(service.settings.notices())
    if service.settings.api_token is None and service.address not in LOOPBACK:
        found.append("This service can be reached from other machines and asks for no token: set API_TOKEN.")
    return found


def page_notices(service: Service) -> list[str]:
    """What every page says on top; it changes seldom, so it holds no counts."""
    away = service.storing.away
    found = own_notices(service)
    if away is not None:
        since = f"{datetime.fromtimestamp(away.since / 1000, UTC):%H:%M} UTC"
        found.append(
            f"The database takes no samples since {since} ({away.reason}). Charts show the last 15 minutes from the"
            " journal; samples wait there and nothing is lost."
        )
    if service.storing.given_up:
        found.append("Some samples were given up because too many waited for the database: the system page says more.")
    return found


def is_sqlite_sound(version: tuple[int, ...]) -> bool:
    """Does this SQLite have the fix of the WAL-reset fault (3.7.0 to 3.51.2, two writing connections)? One writer per
    file, as here, does not meet it; the health page says which version runs."""
    return version >= (3, 51, 3) or any(version[:2] == fixed[:2] and version >= fixed for fixed in WAL_RESET_FIXED)


def system_view(service: Service) -> dict[str, Any]:
    """The system page."""
    found = problems(service)
    process = psutil.Process()
    store = service.store.health()
    return {
        "version": __version__,
        "ok": not found,
        "sentence": _sentence(service, found),
        "problems": found,
        "notices": notices(service),
        "sqlite": sqlite3.sqlite_version,
        "started_at": service.started_at,
        "now": service.clock.now_ms(),
        "rss_bytes": process.memory_info().rss,
        "cpu_percent": _cpu_percent(service, process),
        "streams": service.live.streams,
        "stages": _stages(service, store.name),
        "store": store_view(service, store),
        "refused_by_store": _refused_by_store(service),
        "kept": [
            {"name": kept.name, "rows": kept.rows, "bytes": kept.bytes, "retention_days": kept.retention_days}
            for kept in store.kept
        ],
        "jobs": _jobs(service),
        "refused": [
            {"reason": reason, "host": host, "count": count}
            for (reason, host), count in service.counters.refused.most_common(20)
        ],
        "channels": [_channel(service, sender) for sender in service.senders],
        "dead_letters": _dead_letters(service),
    }


def _sentence(service: Service, found: Sequence[str]) -> str:
    """The page's first line; the details are among the problems."""
    away = service.storing.away
    if away is not None:
        return "The database refuses samples" if away.needs_operator else "The database takes no samples"
    return found[0].rstrip(".") if found else "Everything works"


def _cpu_percent(service: Service, process: psutil.Process) -> float:
    """Share of one core since the start."""
    used = process.cpu_times()
    lived = max((service.clock.now_ms() - service.started_at) / 1000, 1.0)
    return round(100 * (used.user + used.system) / lived, 1)


def _stages(service: Service, store_name: str) -> list[dict[str, Any]]:
    counters = service.counters
    backlog = service.storing.backlog()
    received = counters.received.history()
    hosts = len(service.pipeline.known)
    waiting = sum(service.state.outbox_count(s.delivery.name, counters.day_start()).waiting for s in service.senders)
    sent = sum(service.state.outbox_count(s.delivery.name, counters.day_start()).sent_today for s in service.senders)
    storing_ok = service.storing.away is None
    judging_ok = service.pipeline.last_error is None
    step_time = f"{_figure(counters.score_ms.latest())} ms a step"
    commit_time = f"{_figure(counters.commit_ms.latest())} ms"
    quiet = f"{counters.kept_quiet_today} kept quiet today"
    steps: list[tuple[str, str, bool, str, str, Gauge]] = [
        (
            "received",
            "Received",
            True,
            f"{_figure(sum(received) / 60)} /s",
            f"{counters.rejected_total} refused",
            counters.received,
        ),
        ("journal", "Journal", True, commit_time, "written, fsynced", counters.commit_ms),
        ("scored", "Scored", judging_ok, step_time, f"{hosts} hosts", counters.score_ms),
        ("stored", "Stored", storing_ok, f"backlog {backlog.samples:,}", store_name, counters.stored),
        ("decided", "Decided", True, f"{len(service.judge.desk.open)} open", quiet, counters.decided),
        ("told", "Told", True, f"{sent} sent today", f"{waiting} waiting", counters.told),
    ]
    names = ("key", "label", "ok", "value", "detail", "history")
    return [dict(zip(names, (*step[:5], step[5].history()), strict=True)) for step in steps]


def _figure(value: float) -> str:
    """No more digits than matter: 4,884, 545, 6.9, 0."""
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def store_view(service: Service, store: StoreHealth) -> dict[str, Any]:
    """Is the store there, what waits for it, how fast it is taken."""
    away, waiting = service.storing.away, service.storing.backlog()
    age = None if waiting.oldest_arrived_at is None else service.clock.now_ms() - waiting.oldest_arrived_at
    return {
        "name": store.name,
        "reachable": store.reachable,
        "error": away.reason if away else store.error,
        "away_since": away.since if away else None,
        "needs_operator": bool(away and away.needs_operator),
        "backlog_samples": waiting.samples,
        "backlog_bytes": waiting.bytes,
        "backlog_age_ms": age,
        "stored_per_second": round(sum(service.counters.stored.history()[-10:]) / 10, 1),
        "given_up": service.storing.given_up,
    }


def _refused_by_store(service: Service) -> dict[str, Any]:
    count, rows = service.state.refused_samples()
    return {"count": count, "newest": [asdict(row) for row in rows]}


def _jobs(service: Service) -> list[dict[str, Any]]:
    return [
        {
            "name": count.name,
            "every_s": count.every_seconds,
            "late": count.late,
            "skipped": count.skipped,
            "failed": count.failed,
            "last_ms": None if count.last_ms is None else round(count.last_ms, 1),
            "next_at": service.scheduler.next_run_at(count.name),
        }
        for count in service.scheduler.counts.values()
    ]


def _channel(service: Service, sender: Any) -> dict[str, Any]:
    health = sender.delivery.health()
    counts = service.state.outbox_count(sender.delivery.name, service.counters.day_start())
    took = (health.last_latency_ms or 0) / 1000
    detail = (
        "not used since the start" if health.last_success_at is None else f"ok, {took:.1f} s" if took >= 0.1 else "ok"
    )
    return {
        "name": sender.delivery.name,
        "ok": health.last_error is None,
        "detail": health.last_error or detail,
        "sent_today": counts.sent_today,
        "waiting": counts.waiting,
        "dead": counts.dead,
        "last_error": health.last_error,
    }


def _dead_letters(service: Service) -> list[dict[str, Any]]:
    rows = service.state.notifications(state=DeliveryState.DEAD, limit=20)
    return [
        {
            "id": row.id,
            "channel": row.channel,
            "host": row.incident.host,
            "what": f"{row.event}: {row.incident.title}",
            "error": row.last_error,
            "at": row.created_at,
        }
        for row in rows
    ]
