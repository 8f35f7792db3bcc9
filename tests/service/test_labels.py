"""What a label changes: in the real service, over restarts, and through the API."""

import numpy as np
import pytest

from monitor_core.detection.incident_policy import PolicyState
from monitor_core.frame import make_frame
from monitor_core.incidents import Kind, Severity, State
from monitor_core.labels import DAY_MS, MARGIN_MS, Direction, Label
from monitor_core.scores import empty_scores
from monitor_core.service.learning import normal_rows
from monitor_core.service.pipeline import Pipeline
from monitor_core.storage.writer import StateUnavailable
from tests.conftest import client_of, settled, until
from tests.service.test_original_api import now_ms, quiet_past

STEP_MS = 3_000
USUAL = 30.0
QUICK = {"recovery_seconds": 9, "silence_minimum_seconds": 3_600}


class Host:
    """A host whose samples are a few minutes old when they come: young enough to be told of."""

    def __init__(self, service, name="web-1", past=400, ago_ms=240_000):
        self.name, self._rng = name, np.random.default_rng(2)
        self.use(service)
        self.at = now_ms() - ago_ms
        quiet_past(service, name, n=past, until_ms=self.at)

    def use(self, service):
        self.service = service

    def shows(self, n, **metrics):
        """n samples around 30 % but for what is named."""
        values = np.round(USUAL + self._rng.normal(0, 1, (n, 4)), 1)
        for column, key in enumerate(("cpu", "memory", "disk", "disk_io")):
            if key in metrics:
                values[:, column] += metrics[key] - USUAL
        times = self.at + np.arange(n) * STEP_MS
        self.at = int(times[-1]) + STEP_MS
        self.service.pipeline.accept(make_frame(times, [self.name] * n, values)).result(5)
        settled(self.service)

    def open(self):
        return self.service.judge.desk.open.get((self.name, Kind.ABNORMAL))

    def incidents(self):
        return self.service.state.incidents(0, now_ms() + DAY_MS, self.name)


@pytest.fixture
def host(start, slack):
    return Host(start(slack_webhook_url=slack.url, **QUICK))


def label(host, label, incident=None):
    number = (incident or host.incidents()[0]).id
    return host.service.pipeline.label(number, label, None)


def remembered(snapshots):
    """What the policy knows, but for the clock of silence, which begins anew at a start."""
    policy = PolicyState()
    policy.load(snapshots["policy"])
    return {name: getattr(policy, name).tolist() for name in policy.columns if name != "arrived_at"}


def an_episode(host, then=None, **metrics):
    """Something unusual and its end; labelled when it is over."""
    host.shows(8, **metrics)
    host.shows(16)
    (found, *_) = host.incidents()
    assert found.state is State.RESOLVED
    if then:
        label(host, then, found)
    return found


def whats(host, incident):
    return [line.what for line in host.service.state.timeline(incident.id)]


def quiet_so_far(service):
    return service.counters.kept_quiet_today


def test_never_keeps_the_same_thing_quiet_and_counts_it(host):
    first = an_episode(host, Label.NEVER, cpu=60)
    assert first.severity is Severity.WARNING
    before = quiet_so_far(host.service)
    at = host.at
    host.shows(8, cpu=62)
    assert host.open() is None
    assert [incident.id for incident in host.incidents()] == [first.id]
    marked = [found for found in host.service.store.anomalies(at, host.at) if found.host == "web-1"]
    assert len(marked) >= 4
    # one unusual sample before it would have opened, and then every one
    until(lambda: quiet_so_far(host.service) - before == 1 + len(marked))
    assert {found.incident_id for found in marked} == {None}
    assert host.service.state.outbox_count("slack", 0).sent_today <= 2


def test_never_keeps_the_end_of_it_quiet_too(host):
    """When the value is back the level is not yet: that is no unusual pair of its own."""
    first = an_episode(host, Label.NEVER, cpu=60)
    host.shows(12, cpu=60)
    host.shows(16)
    assert [incident.id for incident in host.incidents()] == [first.id]


def test_never_holds_for_this_host_metric_and_direction_only(host):
    an_episode(host, Label.NEVER, cpu=60)
    other = Host(host.service, "web-2")
    other.shows(6, cpu=60)
    assert other.open() is not None
    host.shows(6, cpu=2)
    assert host.open().title.startswith("CPU is unusually low")
    host.shows(16)
    host.shows(6, memory=62)
    assert host.open().title.startswith("Memory is unusually high")


def test_never_does_not_keep_a_limit_quiet(host, slack):
    an_episode(host, Label.NEVER, cpu=60)
    host.shows(5, cpu=60)
    host.shows(1, cpu=97)
    assert host.open().severity is Severity.CRITICAL
    until(lambda: any("CPU = 9" in text for text in slack.texts))


def test_never_does_not_keep_silence_quiet(start, slack):
    service = start(slack_webhook_url=slack.url, silence_minimum_seconds=0.3, silence_factor=2)
    for i in range(25):
        service.pipeline.accept(make_frame([now_ms() - (25 - i) * 100], ["web-1"], [[30] * 4])).result(5)
    until(service.state.open_incidents)
    silent = service.state.open_incidents()[0]
    service.pipeline.label(silent.id, Label.NEVER, None)
    service.pipeline.accept(make_frame([now_ms()], ["web-1"], [[30] * 4])).result(5)
    until(lambda: service.state.incident(silent.id).state is State.RESOLVED)
    until(service.state.open_incidents)
    until(lambda: service.state.outbox_count("slack", 0).sent_today >= 3)


def test_never_survives_a_restart_and_is_taken_back_for_good(host, start, slack):
    first = an_episode(host, Label.NEVER, cpu=60)
    host.use(start(slack_webhook_url=slack.url, **QUICK))
    host.shows(8, cpu=60)
    assert len(host.incidents()) == 1
    host.service.pipeline.label(first.id, None, None)
    host.use(start(slack_webhook_url=slack.url, **QUICK))
    host.shows(8, cpu=60)
    assert len(host.incidents()) == 2


@pytest.mark.parametrize("when", ["before the fault", "in the middle"])
def test_a_replay_after_a_crash_decides_as_the_first_time(host, start, slack, when, monkeypatch):
    first = an_episode(host, cpu=60)
    host.shows(2, cpu=60)
    if when == "in the middle":
        host.shows(3, cpu=60)
        first = host.open()
    label(host, Label.NEVER, first)
    host.shows(4, cpu=60)
    before = host.service.judge.snapshots()
    opened = len(host.incidents())
    monkeypatch.setattr(Pipeline, "leave_snapshot", lambda _: None)
    host.use(start(slack_webhook_url=slack.url, **QUICK))
    judge = host.service.judge
    assert judge.scorer.state.to_bytes() == before["hosts"]
    assert judge.policy.is_open.any() == (when == "in the middle")
    assert remembered(judge.snapshots()) == remembered(before)
    assert len(host.incidents()) == opened


def test_a_new_normal_is_learned_at_once_and_the_incident_resolves(host):
    host.shows(12, cpu=60)
    incident = host.open()
    host.shows(12, cpu=60)
    assert host.open() is not None
    label(host, Label.NEW_NORMAL)
    host.shows(8, cpu=60)
    assert host.open() is None
    assert host.service.state.incident(incident.id).resolved_reason == "back_to_normal"
    host.shows(40, cpu=60)
    host.shows(6, cpu=30)
    assert host.open().title.startswith("CPU is unusually low")


def test_without_the_label_the_same_incident_goes_on(host):
    host.shows(32, cpu=60)
    assert host.open() is not None


def test_a_new_normal_is_still_known_after_a_crash(host, start, slack, monkeypatch):
    host.shows(12, cpu=60)
    label(host, Label.NEW_NORMAL)
    host.shows(3, cpu=60)
    before = host.service.judge.scorer.state.to_bytes()
    monkeypatch.setattr(Pipeline, "leave_snapshot", lambda _: None)
    host.use(start(slack_webhook_url=slack.url, **QUICK))
    assert host.service.judge.scorer.state.to_bytes() == before
    host.shows(6, cpu=60)
    assert host.open() is None


def test_nothing_begins_again_while_a_limit_is_exceeded(host):
    host.shows(12, cpu=96)
    before = host.service.judge.scorer.state.to_bytes()
    label(host, Label.NEW_NORMAL)
    assert host.service.judge.scorer.state.to_bytes() == before
    assert "while a limit is exceeded" in client_of(host.service).get("/api/v1/labels").json()["labels"][0]["effect"]
    host.shows(20, cpu=96)
    assert host.open().severity is Severity.CRITICAL


def test_nothing_begins_again_for_an_incident_that_is_over(host):
    found = an_episode(host, cpu=60)
    before = host.service.judge.scorer.state.to_bytes()
    label(host, Label.NEW_NORMAL, found)
    assert host.service.judge.scorer.state.to_bytes() == before
    assert not host.service.state.label_of(found.id).relearned


def test_what_is_expected_now_is_shown_and_told_to_nobody(host, slack):
    first = an_episode(host, Label.EXPECTED, cpu=60)
    until(lambda: len(slack.bodies) == 2)
    host.shows(8, cpu=60)
    again = host.open()
    assert (again.severity, again.told, again.expected_now) == (Severity.WARNING, False, True)
    assert "not told: expected now" in whats(host, again)
    host.shows(16)
    assert host.service.state.incident(again.id).state is State.RESOLVED
    host.shows(16, memory=60)
    until(lambda: len(slack.bodies) == 3)
    assert first.told


def test_what_is_expected_now_is_told_when_a_limit_is_exceeded(host, slack):
    an_episode(host, Label.EXPECTED, cpu=60)
    until(lambda: len(slack.bodies) == 2)
    host.shows(8, cpu=60)
    host.shows(1, cpu=97)
    until(lambda: len(slack.bodies) == 3)
    assert (host.open().severity, host.open().expected_now) == (Severity.CRITICAL, False)


def test_what_is_no_longer_expected_is_told(host, slack):
    first = an_episode(host, Label.EXPECTED, cpu=60)
    until(lambda: len(slack.bodies) == 2)
    host.shows(6, cpu=60)
    assert not host.open().told
    label(host, None, first)
    host.shows(1, cpu=60)
    until(lambda: len(slack.bodies) == 3)
    assert host.open().told


def test_what_is_expected_at_another_time_of_day_is_told(start, slack):
    service = start(slack_webhook_url=slack.url, **QUICK)
    host = Host(service, past=400, ago_ms=3_600_000)
    first = an_episode(host, Label.EXPECTED, cpu=60)
    quiet_past(service, "web-1", n=200, until_ms=now_ms() - 60_000)
    host.at = now_ms() - 60_000
    host.shows(8, cpu=60)
    until(lambda: len(slack.bodies) == 1)
    assert (first.told, host.open().told, host.open().expected_now) == (False, True, False)


def test_a_fault_of_the_disk_leaves_everything_as_it_was(host, monkeypatch):
    host.shows(12, cpu=60)
    before = host.service.judge.scorer.state.to_bytes()

    def fails(_):
        raise StateUnavailable("disk full")

    monkeypatch.setattr(host.service.state, "commit", fails)
    answer = client_of(host.service).put(f"/api/v1/incidents/{host.open().id}/label", json={"label": "new_normal"})
    assert answer.status_code == 503
    monkeypatch.undo()
    assert host.service.judge.scorer.state.to_bytes() == before
    assert (host.open().label, host.service.state.labels()) == (None, [])


def learned_from(host):
    learning = host.service.learning
    learning.start("by hand")
    learning.wait(60)
    assert learning.job.state == "done", learning.job.message
    return learning.versions()[0].samples


@pytest.mark.parametrize(("word", "is_learned"), [("real", 0), ("never", 0), ("expected", 1), ("new_normal", 1)])
def test_a_label_decides_whether_an_incident_is_learned_from(start, word, is_learned):
    host = Host(start(**QUICK), past=800)
    found = an_episode(host, cpu=60)
    without = learned_from(host)
    label(host, Label(word), found)
    lasted = host.service.state.incident(found.id)
    learned = learned_from(host) - without
    assert (learned >= (lasted.resolved_at - lasted.opened_at) / STEP_MS) == bool(is_learned)
    assert learned == 0 or is_learned


def test_what_people_call_normal_is_learned_from_whatever_its_score_unless_it_is_in_another_incident():
    frame = make_frame(np.arange(6), ["web-1"] * 6, [[60.0] * 4] * 6)
    scores = empty_scores(6, 4)
    scores.score[:], scores.anomaly[:] = 0.99, 1
    assert not normal_rows(frame, scores, {}, 0.75).any()
    normal = normal_rows(frame, scores, {"web-1": [(3, 3)]}, 0.75, {"web-1": [(1, 4)], "web-2": [(0, 5)]})
    assert normal.tolist() == [False, True, True, False, True, False]


def test_it_is_expected_as_long_as_it_lasted_also_when_it_was_labelled_before_its_end(host):
    host.shows(8, cpu=60)
    label(host, Label.EXPECTED)
    host.shows(30, cpu=60)
    host.shows(16)
    (found,) = host.incidents()
    assert found.resolved_at - found.opened_at > 60_000
    for moment, is_expected in ((found.resolved_at + MARGIN_MS, True), (found.resolved_at + MARGIN_MS + 1, False)):
        assert host.service.judge.labels.expects("web-1", "cpu", Direction.HIGH, moment) is is_expected


def test_what_is_like_an_expected_one_is_learned_from_too(start):
    host = Host(start(**QUICK), past=800)
    label(host, Label.EXPECTED, an_episode(host, cpu=60))
    before = learned_from(host)
    an_episode(host, cpu=60)
    assert host.incidents()[0].expected_now
    assert learned_from(host) > before + 8


def test_the_page_hears_of_a_label(host):
    host.shows(8, cpu=60)
    client = client_of(host.service)
    client.put(f"/api/v1/incidents/{host.open().id}/label", json={"label": "real", "note": "a fork bomb"})
    assert client.get("/api/state").json()["incidents"][0]["label"] == "real"
