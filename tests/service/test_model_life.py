"""Champion and challenger in the running service: who takes over, who waits, what a person does about it."""

import json
import random
import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from monitor_core.detection import training
from monitor_core.detection.comparison import Promotion
from monitor_core.detection.features import FEATURES
from monitor_core.frame import make_frame
from monitor_core.service import replaying
from monitor_core.service.model_life import BY_HAND, BY_ITSELF, ROLLED_BACK, Spoken, predecessor
from tests.conftest import client_of, settled
from tests.detection.test_training import damaged
from tests.service.test_original_api import now_ms, quiet_past

JITTERY = {"host": "web-1", "cpu": 44.0, "memory": 30.0, "disk": 30.0, "disk_io": 30.0}


def train(service, reason="scheduled", **more):
    service.learning.start(reason, **more)
    service.learning.wait(60)
    assert service.learning.job.state == "done", service.learning.job
    return service.learning.job


def busy_past(service, host="web-1", n=1_500):
    """Over an hour of samples that sway by some scales now and then, but keep away from the robust z's alarm."""
    rng = np.random.default_rng(2)
    sway = 9.0 * (np.arange(n) // 40 % 5 == 4)
    values = np.round(30 + rng.normal(0, 1, (n, 4)) + sway[:, None] * [1, 0.75, 0.5, 1], 1)
    service.pipeline.accept(make_frame(now_ms() - np.arange(n, 0, -1) * 3_000, [host] * n, values)).result(5)
    settled(service)


def quiet_hour(service):
    quiet_past(service, "web-1", n=1_200)


def one_version(service):
    quiet_hour(service)
    train(service)


def two_versions(service):
    one_version(service)
    train(service)


def one_speaks_and_one_waits(service):
    """To a forest that saw no spread at all nearly everything is rare."""
    busy_past(service)
    train(service)
    calm = np.random.default_rng(0).normal(0, 0.02, (1_000, len(FEATURES)))
    nervous = training.fit(calm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "fit", lambda *_, **__: nervous)
        assert train(service).promotion is Promotion.OPENS_MORE


@pytest.fixture
def waiting(start_after):
    return start_after(one_speaks_and_one_waits)


def test_the_first_version_speaks_at_once_and_is_compared_with_nothing(start_after):
    service = start_after(quiet_hour)
    client = client_of(service)
    assert train(service, "first").promotion is Promotion.FIRST
    seen = client.get("/api/v1/models").json()
    assert (seen["champion"]["version"], seen["challenger"], seen["predecessor"]) == (1, None, None)
    assert client.get("/api/v1/models/1").json()["comparison"] is None


def test_a_version_that_is_no_worse_takes_over_by_itself(start_after):
    service = start_after(one_version)
    client = client_of(service)
    assert train(service).promotion is Promotion.NO_WORSE
    seen = client.get("/api/v1/models").json()
    assert (seen["active"], seen["predecessor"]) == (2, 1)
    compared = client.get("/api/v1/models/2").json()["comparison"]
    assert (compared["champion"]["version"], compared["challenger"]["version"]) == (1, 2)
    assert 1_150 <= compared["samples"] <= 1_200


def test_a_version_that_would_open_more_waits_for_a_person(waiting):
    seen = client_of(waiting).get("/api/v1/models").json()
    assert (seen["active"], seen["challenger"]["version"]) == (1, 2)
    compared = seen["challenger"]["comparison"]
    more, total = compared["more"], compared["more_total"]
    assert seen["challenger"]["why"].startswith(
        f"kept: would open {compared['challenger']['opened']} incidents instead"
    )
    assert compared["challenger"]["opened"] - compared["champion"]["opened"] == total - compared["less_total"]
    assert len(more) == min(20, total) > 1
    assert {item["host"] for item in more} == {"web-1"}
    assert all(item["start"] <= item["stop"] and item["metric"] and item["peak_score"] >= 0.75 for item in more)


def test_the_champion_keeps_speaking_until_the_challenger_is_promoted(waiting):
    client = client_of(waiting)
    assert client.post("/predict?dry_run=true", json=JITTERY).json()["model_version"] == 1
    assert client.post("/api/v1/models/2/promote").json() == {"active": 2}
    assert client.post("/predict?dry_run=true", json=JITTERY).json()["model_version"] == 2
    seen = client.get("/api/v1/models").json()
    assert (seen["challenger"], seen["champion"]["how"], seen["predecessor"]) == (None, BY_HAND, 1)


def test_a_challenger_that_is_dismissed_waits_no_longer_and_may_still_be_activated(waiting):
    client = client_of(waiting)
    assert client.post("/api/v1/models/2/keep").json() == {"active": 1}
    assert client.get("/api/v1/models").json()["challenger"] is None
    assert client.post("/api/v1/models/2/keep").status_code == 409
    assert client.post("/api/v1/models/2/activate").json() == {"active": 2}


def test_roll_back_lets_the_version_before_speak_and_says_since_when(waiting):
    client = client_of(waiting)
    assert client.post("/api/v1/models/rollback").status_code == 409
    client.post("/api/v1/models/2/promote")
    assert client.post("/api/v1/models/rollback").json() == {"active": 1}
    history = client.get("/api/v1/models").json()["history"]
    assert [(entry["version"], entry["how"]) for entry in history] == [(1, ROLLED_BACK), (2, BY_HAND), (1, BY_ITSELF)]
    assert history[0]["since"] >= history[1]["since"] >= history[2]["since"]
    assert client.post("/api/v1/models/rollback").status_code == 409


def test_who_waits_and_who_speaks_survive_a_restart(start, waiting):
    again = start()
    assert (again.learning.active, again.learning.life.challenger) == (1, 2)
    assert again.learning.life.history()[0].version == 1


def test_somebody_may_always_be_asked(start_after):
    service = start_after(one_version)
    client = client_of(service)
    assert client.post("/api/v1/models/train?promote=ask").status_code == 202
    service.learning.wait(60)
    assert service.learning.job.promotion is Promotion.ASKED
    assert client.get("/api/v1/models").json()["challenger"]["why"].startswith("waits for you")
    assert client.post("/api/v1/models/train?promote=perhaps").status_code == 422


def test_a_version_that_cannot_be_compared_waits(start_after):
    service = start_after(one_version)
    client = client_of(service)
    (service.settings.data_dir / "models" / "v0001" / "forest.npz").write_bytes(b"")
    assert train(service).promotion is Promotion.NOT_COMPARED
    seen = client.get("/api/v1/models").json()
    assert (seen["active"], seen["challenger"]["why"]) == (1, "kept: it could not be compared")


def test_what_a_person_chose_meanwhile_is_not_overruled(start_after):
    service = start_after(two_versions)
    replayed = replaying.replay

    def choose_meanwhile(*args):
        service.learning.activate(1)
        return replayed(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replaying, "replay", choose_meanwhile)
        assert train(service).promotion is Promotion.ASKED
    assert (service.learning.active, service.learning.life.challenger) == (1, 3)


def test_labelled_incidents_are_counted_as_found_or_missed(waiting):
    now = now_ms()
    waiting.learning.comparing._labelled = lambda start, stop: [
        ("web-1", now - 60_000, now, "real"),
        ("other", start, stop, "real"),
    ]
    train(waiting)
    compared = client_of(waiting).get("/api/v1/models/3").json()["comparison"]
    assert compared["labelled"]["real"] == 1
    assert sum(compared["labelled"].values()) == 1 + len(waiting.state.incidents(0, now))


def test_what_is_excluded_is_not_learned_from(start_after):
    service = start_after(one_version)
    client = client_of(service)
    body = {"host": None, "start": "-30m", "stop": "-1m", "why": "migration"}
    made = client.post("/api/v1/models/excluded", json=body)
    assert made.status_code == 201
    train(service)
    samples = {model["version"]: model["samples"] for model in client.get("/api/v1/models").json()["models"]}
    assert 550 <= samples[1] - samples[2] <= 600
    assert client.post(f"/api/v1/models/excluded/{made.json()['id']}/remove").status_code == 200
    assert client.get("/api/v1/models/excluded").json() == {"excluded": []}
    assert client.post("/api/v1/models/excluded/9/remove").status_code == 404


@pytest.mark.parametrize(
    "change", [{"start": "-1m", "stop": "-2m"}, {"why": ""}, {"host": "a b"}, {"start": "soon"}, {"why": "x" * 201}]
)
def test_a_span_that_makes_no_sense_is_refused(client, change):
    body = {"host": "web-1", "start": "-30m", "stop": "-1m", "why": "migration"} | change
    assert client.post("/api/v1/models/excluded", json=body).status_code == 422


def test_a_span_of_one_host_leaves_the_others_alone(service):
    excluded = service.learning.excluded
    excluded.add("a", 10, 20, "x", 0)
    assert excluded.spans(["a", "b"]) == {"a": [(10, 19)]}
    excluded.add(None, 30, 40, "y", 0)
    assert excluded.spans(["a", "b"]) == {"a": [(30, 39), (10, 19)], "b": [(30, 39)]}


def test_damaged_files_change_nothing_about_who_speaks(start, waiting):
    """Forty times through the service; the registry's own test does it a thousand times."""
    folder = waiting.settings.data_dir / "models" / "v0002"
    lots = random.Random(5)
    for i in range(40):
        path = folder / ("forest.npz" if i % 2 else "manifest.json")
        whole = path.read_bytes()
        path.write_bytes(damaged(whole, lots))
        assert client_of(waiting).post("/api/v1/models/2/promote").status_code == 409
        assert waiting.learning.active == 1
        path.write_bytes(whole)
    (folder.parent / "v0001" / "forest.npz").write_bytes(b"")
    again = start()
    assert again.learning.active == 0, "the challenger never speaks by itself"
    assert again.learning.damaged


def test_after_the_champion_is_damaged_the_one_before_speaks(start, start_after):
    service = start_after(two_versions)
    (service.settings.data_dir / "models" / "v0002" / "forest.npz").write_bytes(b"")
    again = start()
    assert again.learning.active == 1
    assert again.learning.life.champion.version == 1


def test_the_last_twenty_versions_the_one_that_speaks_and_the_one_before_are_kept(start_after):
    service = start_after(two_versions)
    registry = service.learning._registry
    info, forest = registry.load(1)
    for version in range(3, 27):
        registry.save(replace(info, version=version), forest)
    service.learning.activate(2)
    service.learning.life.prune()
    assert service.learning.registered() == [1, 2, *range(7, 27)]


def test_drift_is_told_once_there_are_votes_enough(start_after, start):
    service = start_after(one_version)
    client = client_of(service)
    assert client.get("/api/v1/models").json()["drift"]["verdict"].startswith("too early")
    rng = np.random.default_rng(4)
    values = np.round(30 + rng.normal(0, 1, (1_000, 4)), 1)
    times = now_ms() + np.arange(1_000) * 100
    service.pipeline.accept(make_frame(times, ["web-1"] * 1_000, values)).result(5)
    settled(service)
    champion = service.learning.life.champion
    service.state.set_meta("models.life", json.dumps({"spoken": [asdict(champion) | {"since": 0}]}))
    seen = client_of(start()).get("/api/v1/models").json()["drift"]
    assert (seen["samples"], seen["verdict"]) == (1_000, "stable")
    assert seen["hour_share"] == seen["day_share"] < 0.05


def test_who_to_go_back_to():
    def line(*entries):
        return [Spoken(version, i, how) for i, (version, how) in enumerate(entries)]

    assert predecessor([]) is None
    assert predecessor(line((1, BY_ITSELF))) is None
    assert predecessor(line((1, BY_ITSELF), (2, BY_ITSELF))) == 1
    assert predecessor(line((1, BY_ITSELF), (2, BY_ITSELF), (3, BY_HAND), (2, ROLLED_BACK))) == 1
    assert predecessor(line((1, BY_ITSELF), (2, BY_ITSELF), (1, BY_HAND))) == 2


def test_a_replay_reaches_back_as_far_as_it_may_have_samples():
    assert replaying.reach_ms(1, 3_000, 21_600_000) == 21_600_000
    assert replaying.reach_ms(200, 3_000, 21_600_000) == 3_000_000
    assert replaying.reach_ms(2, 1_000, 21_600_000) == 7_200_000


def test_training_rests_while_samples_wait_and_ends_all_the_same(service):
    quiet_past(service, "web-1", n=600)
    service.pipeline._unscored = 1  # as under steady load: there is always something that waits
    began = time.monotonic()
    train(service)
    assert service.learning.active == 1
    assert time.monotonic() - began < 50
    service.pipeline._unscored = 0
