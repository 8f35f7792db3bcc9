import pytest

from monitor_core.detection.hindsight import Shift, hindsight, kept_quiet
from monitor_core.incidents import Evidence, Kind, Reason, Severity, State
from monitor_core.labels import DAY_MS, Culprit, Direction, Label, Labelled
from tests.builders import T0, incident

MINUTE, HOUR = 60_000, 3_600_000
CPU = (Evidence("cpu", 60.0, 20.0, 40.0, 1.0, 85.0),)


def past(number, at, lasted=5 * MINUTE, **changes):
    base = {
        "evidence": CPU,
        "severity": Severity.WARNING,
        "reason": Reason.SCORE_PERSISTED,
        "state": State.RESOLVED,
        "told": True,
    }
    return incident(id=number, opened_at=at, resolved_at=at + lasted, **(base | changes))


def record(label, **changes):
    base = {"kind": "abnormal", "culprits": (Culprit("cpu", Direction.HIGH),), "opened_at": T0, "at": T0 + HOUR}
    return Labelled(incident=1, host="web-3", resolved_at=T0 + 10 * MINUTE, label=label, **(base | changes))


YESTERDAY = T0 - DAY_MS
LOW = (Evidence("cpu", 10.0, 20.0, 40.0, 1.0, 85.0),)
MEMORY = (Evidence("memory", 60.0, 20.0, 40.0, 1.0, 85.0), *CPU)


@pytest.mark.parametrize(
    ("found", "never", "expected"),
    [
        (past(2, YESTERDAY), 1, 1),
        (past(2, YESTERDAY - 5 * HOUR), 1, 0),
        (past(2, YESTERDAY, lasted=2 * HOUR), 1, 0),
        (past(2, YESTERDAY, told=False), 1, 0),
        (past(2, YESTERDAY, evidence=LOW), 0, 0),
        (past(2, YESTERDAY, evidence=MEMORY), 0, 0),
        (past(2, YESTERDAY, severity=Severity.CRITICAL), 0, 0),
        (past(2, YESTERDAY, reason=Reason.LIMIT_EXCEEDED), 0, 0),
        (past(2, YESTERDAY, kind=Kind.SILENT), 0, 0),
        (past(1, T0), 0, 0),
    ],
)
def test_only_what_the_label_really_keeps_quiet_is_counted(found, never, expected):
    assert len(kept_quiet(record(Label.NEVER), [found])) == never
    assert len(kept_quiet(record(Label.EXPECTED), [found])) == expected
    assert kept_quiet(record(Label.REAL), [found]) == kept_quiet(record(Label.NEVER, culprits=()), [found]) == []


def said(label, found=(), threshold=None, score=None, reason=Reason.SCORE_PERSISTED):
    return hindsight(record(label), reason, found, threshold, score).sentence


def test_the_sentences():
    four = [past(n, T0 - n * DAY_MS, label=Label.REAL if n == 3 else None) for n in range(2, 6)]
    assert said(Label.NEVER, four) == (
        "4 similar incidents of the last 30 days would not have opened, 1 of them marked as real."
    )
    assert said(Label.EXPECTED, four[:1]) == (
        "1 similar incident of the last 30 days at this time of day would have been told to nobody."
    )
    assert said(Label.NEVER, four[1:2]).endswith("would not have opened, and it is marked as real.")
    assert said(Label.NEVER) == "No other alert of the last 30 days was like it."
    assert said(Label.REAL, threshold=Shift(0.915, 0.905)) == (
        "Threshold of web-3 from 0.915 to 0.905, because a real alert does not count against its budget."
    )
    assert said(Label.REAL, threshold=Shift(0.75, 0.75)).endswith("the threshold of web-3 stays at 0.750.")
    assert said(Label.REAL, threshold=Shift(0.9, 0.9), reason=Reason.LIMIT_EXCEEDED).startswith("Limits and silence")
    assert said(Label.REAL) == ""
    assert said(Label.NEW_NORMAL, score=Shift(0.92, 0.31)) == (
        "What web-3 shows now would have a score of 0.31 instead of 0.92."
    )
