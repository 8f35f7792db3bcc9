"""Messages: what a person reads about an incident, for Slack and as plain text (pure).

Slack's limits: 150 characters in a header, 3,000 in a section, 50 blocks; only & < > are escaped
(https://docs.slack.dev/messaging/formatting-message-text).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from monitor_core.incidents import Evidence, Incident, Kind
from monitor_core.metrics import BY_KEY
from monitor_core.notifications import Event, Notification
from monitor_core.scores import IN_WORDS as DETECTOR_IN_WORDS

IN_WORDS = 3
HEADER, SECTION, TEXT = 150, 3_000, 3_000
ORIGINAL = (("CPU", "cpu"), ("Mem", "memory"), ("Disk", "disk"))
# invisible characters that turn text around or hide it
_HIDDEN = dict.fromkeys((*range(8234, 8239), *range(8294, 8298), 8203, 8206, 8207, 65279))
_CONTROL = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233), " ")


@dataclass(frozen=True, slots=True)
class Message:
    """Slack's body: `text` is what a notification on a phone shows, `blocks` the message itself."""

    text: str
    blocks: list[dict[str, Any]]


def slack_message(notifications: Sequence[Notification], public_url: str | None, now_ms: int) -> Message:
    """One message for all of them: the first three in words, the others counted."""
    told = list(notifications)[:IN_WORDS]
    blocks: list[dict[str, Any]] = []
    for item in told:
        blocks += _blocks(item, public_url, now_ms)
    rest = _rest(notifications)
    if rest:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": rest}]})
    text = "\n".join([*(escape(summary(item, now_ms)) for item in told), *([rest] if rest else [])])
    return Message(text[:TEXT], blocks)


def plain_text(notifications: Sequence[Notification], public_url: str | None, now_ms: int) -> str:
    """The same without markup, one line each."""
    lines = []
    for item in list(notifications)[:IN_WORDS]:
        link = f" {_link(item.incident, public_url)}" if public_url else ""
        words = (summary(item, now_ms), headline(item, now_ms), item.incident.detail, *_normal(item))
        parts = dict.fromkeys(clean(text) for text in words)
        lines.append(" | ".join(parts) + link)
    rest = _rest(notifications)
    return "\n".join([*lines, *([rest] if rest else [])])


def headline(item: Notification, now_ms: int) -> str:
    """[CRITICAL] web-3 · Memory is at 91 %, limit 85 %"""
    incident = item.incident
    word = incident.severity.upper()
    if item.event is Event.RESOLVED:
        word = f"RESOLVED after {lasted((incident.resolved_at or now_ms) - incident.opened_at)}"
    repeat = " (may be a repeat)" if item.may_be_repeat else ""
    return f"{_mark(incident)}[{word}] {incident.host} · {incident.title}{repeat}"


def summary(item: Notification, now_ms: int) -> str:
    """One line; for an abnormal incident that opens it is the original's."""
    incident = item.incident
    if item.event is Event.RESOLVED:
        return clean(headline(item, now_ms))
    if incident.kind is Kind.SILENT:
        return clean(f"{_mark(incident)}ALERT! {incident.host}: {incident.title}")
    values = {found.metric: found.value for found in incident.evidence}
    shown = " | ".join(f"{name} = {_value(values.get(key))}" for name, key in ORIGINAL)
    return clean(f"{_mark(incident)}ALERT! High metrics detected: {shown}")


def lasted(ms: int) -> str:
    """12 s, 11 min, 3 h 20 min."""
    seconds = max(0, ms) // 1000
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7_200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def escape(text: str) -> str:
    """For mrkdwn: without this <!channel> would ring everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(text: str) -> str:
    """One line without control characters."""
    return text.translate(_CONTROL).translate(_HIDDEN).strip()


def _blocks(item: Notification, public_url: str | None, now_ms: int) -> list[dict[str, Any]]:
    incident = item.incident
    header = _cut(clean(headline(item, now_ms)), HEADER)
    start = incident.opened_at if incident.since is None else incident.since
    since = f"since {_clock(start)} UTC ({lasted((incident.resolved_at or now_ms) - start)})"
    if incident.detector in DETECTOR_IN_WORDS:
        since += f", {DETECTOR_IN_WORDS[incident.detector]}"
    lines = [
        escape(clean(incident.detail)),
        *map(escape, _normal(item)),
        *(escape(_evidence(found)) for found in incident.evidence[:2]),
    ]
    if public_url:
        lines.append(
            f"<{_link(incident, public_url)}|Open the chart> · <{_incident_link(incident, public_url)}|Incident>"
        )
    body = _cut("\n".join([f"_{since}_", *lines]), SECTION)
    return [
        {"type": "header", "text": {"type": "plain_text", "text": header, "emoji": False}},
        {"type": "section", "text": {"type": "mrkdwn", "text": body}},
    ]


def _normal(item: Notification) -> list[str]:
    """What would be normal, while it is not."""
    found = item.incident.counterfactual
    return [clean(found.sentence) + "."] if found and item.event is Event.OPENED else []


def _evidence(found: Evidence) -> str:
    label = BY_KEY[found.metric].label if found.metric in BY_KEY else found.metric
    if found.expected_low is None or found.expected_high is None:
        return f"• {label}: {_value(found.value)}"
    return f"• {label}: {_value(found.value)}, expected {found.expected_low:.0f}–{found.expected_high:.0f}%"


def _rest(notifications: Sequence[Notification]) -> str:
    more = len(notifications) - IN_WORDS
    return f"and {more} more" if more > 0 else ""


def _mark(incident: Incident) -> str:
    return "[simulated] " if incident.simulated else ""


def _value(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1f}%"


def _clock(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _link(incident: Incident, public_url: str | None) -> str:
    return f"{(public_url or '').rstrip('/')}/host?host={quote(incident.host, safe='')}&range=1h"


def _incident_link(incident: Incident, public_url: str) -> str:
    return f"{public_url.rstrip('/')}/incidents?incident={incident.id}"
