"""What evaluate says is what the service would have said."""

import json

import numpy as np
import pytest

from monitor_core.__main__ import main
from monitor_core.frame import concat, make_frame
from monitor_core.service import evaluating, recordings
from monitor_core.service.bootstrap import build_judge
from monitor_core.service.evaluating import Trainer, Truth
from monitor_core.settings import Settings
from monitor_core.sources import labelled_csv
from tests.builders import T0, steady
from tests.conftest import client_of, settled
from tests.service.test_original_api import now_ms

HEAD = "time,host,cpu,memory,disk,disk_io,label,culprit"


def write(path, frame, label=lambda row: ""):
    lines = [
        f"{time},{host},{','.join(map(str, values))},{label(row)},memory"
        for row, (time, host, values) in enumerate(
            zip(frame.time.tolist(), frame.host_names(), frame.values.tolist(), strict=True)
        )
    ]
    path.write_text("\n".join([HEAD, *lines]), encoding="utf-8")
    return path


def troubled(start=T0, n=400, first=300, last=330):
    """Two hosts; the memory of the second jumps for a while."""
    frame = steady(("a", "b"), start=start, n=n)
    frame.values[2 * first + 1 : 2 * last + 2 : 2, 1] = 71.3
    return frame


def settings(**changes):
    return Settings(simulated_hosts=0, collect_this_host=False, **changes)


def test_a_file_scores_as_the_same_rows_posted_do_bit_for_bit(tmp_path, start):
    at = now_ms() - 240_000
    path = write(tmp_path / "two.csv", troubled(at, n=80, first=65, last=75))
    recorded = labelled_csv.read(path)
    judged = recordings.judge_all(recorded, settings(), forest=False)
    service = start()
    client = client_of(service)
    rows = [dict(zip(HEAD.split(","), line.split(","), strict=True)) for line in path.read_text().splitlines()[1:]]
    for part in np.array_split(np.arange(len(rows)), 23):
        bodies = [
            {"timestamp": int(row["time"]), "host": row["host"]}
            | {key: float(row[key]) for key in ("cpu", "memory", "disk", "disk_io")}
            for row in (rows[i] for i in part)
        ]
        assert client.post("/ingest", json=bodies).json()["accepted"] == len(part)
    settled(service)
    parts = list(service.store.scan(at, now_ms() + 1, ["a", "b"]))
    frame, score = concat([part for part, _ in parts]), np.concatenate([scores.score for _, scores in parts])
    stored = dict(zip(zip(frame.host_names(), frame.time.tolist(), strict=True), score.tolist(), strict=True))
    ours = dict(zip(zip(recorded.frame.host_names(), judged.time.tolist(), strict=True), judged.score, strict=True))
    assert max(ours.values()) > 0.75
    assert stored == ours
    assert [(i.host, i.opened_at, i.title) for i in service.state.incidents(0, now_ms())] == [
        (i.host, i.opened_at, i.title) for i in judged.incidents
    ]


def test_ticks_and_large_frames_come_to_the_same():
    frame = troubled()
    whole = evaluating.play([frame], build_judge(settings()), 3_000)
    parts = [frame.take(rows) for rows in np.array_split(np.arange(len(frame)), 7)]
    cut = evaluating.play(parts, build_judge(settings()), 3_000)
    assert cut.score.tobytes() == whole.score.tobytes()
    assert (cut.alarm == whole.alarm).all()


def test_the_verdict_names_the_event_its_delay_and_its_culprit():
    frame = troubled()
    judged = evaluating.play([frame], build_judge(settings()), 3_000)
    truth = Truth("b", T0 + 300 * 3_000, T0 + 331 * 3_000, "memory_leak", ("memory",))
    verdict = evaluating.compare(judged, [truth], 3_000)
    ((kind, delay, rank),) = verdict.counts.outcomes
    assert (kind, rank) == ("memory_leak", 1)
    assert 0 < delay <= 12
    assert (verdict.counts.good, verdict.counts.false, verdict.incidents, verdict.false_incidents) == (1, 0, 1, 0)
    blind = evaluating.compare(judged, [], 3_000)
    assert (blind.counts.good, blind.counts.false, blind.false_incidents) == (0, 1, 1)
    assert verdict.vus_pr > 0.7


def test_a_silence_is_found_by_the_watch_that_the_service_has():
    frame = steady(("a", "b"), n=200)
    quiet = (frame.code == 1) & (np.arange(len(frame)) >= 200) & (np.arange(len(frame)) < 300)
    judged = evaluating.play([frame.take(~quiet)], build_judge(settings()), 3_000)
    truth = Truth("b", T0 + 300_000, T0 + 450_000, "silence")
    verdict = evaluating.compare(judged, [truth], 3_000)
    ((kind, delay, _),) = verdict.counts.outcomes
    assert kind == "silence"
    assert 27 <= delay <= 36
    assert verdict.counts.false == 0


def test_a_forest_is_trained_after_the_first_hour_on_normal_samples():
    judge = build_judge(settings())
    trainer = Trainer(judge, 15_000)
    evaluating.play([troubled(n=1_100)], judge, 3_000, trainer)
    assert judge.scorer.model_version == 0
    evaluating.play([steady(("a", "b"), n=1_700)], judge := build_judge(settings()), 3_000, Trainer(judge, 15_000))
    assert judge.scorer.model_version == 1


def test_evaluate_prints_a_table(tmp_path, capsys):
    write(tmp_path / "one.csv", troubled(), lambda row: "leak" if 601 <= row <= 661 and row % 2 else "")
    write(tmp_path / "two.csv", steady(("c",), n=100))
    assert main(["evaluate", str(tmp_path / "one.csv"), str(tmp_path / "two.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one.csv: 2 hosts, 800 samples")
    assert lines[1].startswith("two.csv: 1 host, 100 samples")
    assert lines[4].split()[:5] == ["all", "1", "1.00", "1.00", "1.00"]
    assert lines[5].split()[:3] == ["leak", "1", "1.00"]


def test_labels_may_lie_beside_the_file(tmp_path, capsys):
    write(tmp_path / "one.csv", troubled())
    labels = tmp_path / "labels.json"
    labels.write_text(
        json.dumps({"b": {"train": 100, "events": [[300, 330]], "kinds": ["leak"], "culprits": [["cpu"]]}})
    )
    assert main(["evaluate", str(tmp_path / "one.csv"), "--labels", str(labels)]) == 0
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row[0] == "leak"
    assert row[-2:] == ["0.00", "1.00"]


def test_what_labels_call_training_is_not_judged(tmp_path):
    path = write(tmp_path / "one.csv", troubled())
    for train, false in ((0, 1), (340, 0)):
        labels = {"b": recordings.Labels([], train=train)}
        verdict = recordings.evaluate(path, labels, settings(), forest=False)
        assert (verdict.counts.false, verdict.false_incidents) == (false, false)


@pytest.mark.parametrize(
    ("labels", "fault"),
    [('{"b": {"events": [[300, 900]]}}', "no event from 300 to 900"), ('{"b": 3}', "cannot be read")],
)
def test_labels_that_do_not_fit_are_refused_in_one_line(tmp_path, capsys, labels, fault):
    write(tmp_path / "one.csv", troubled())
    (tmp_path / "labels.json").write_text(labels)
    assert main(["evaluate", str(tmp_path / "one.csv"), "--labels", str(tmp_path / "labels.json")]) == 1
    assert fault in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told_in_one_line(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "none.csv")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    (tmp_path / "bad.csv").write_text("time,cpu\n1767225600,140\n")
    with pytest.raises(labelled_csv.NotReadable, match="no sample that can be used"):
        recordings.evaluate(tmp_path / "bad.csv", {}, settings(), forest=False)


def test_samples_out_of_order_are_late_as_they_are_live():
    rows = make_frame([T0 + i * 3_000 for i in (0, 1, 2, 1, 3)], ["a"] * 5, np.full((5, 4), 30.0))
    judged = evaluating.play([rows], build_judge(settings()), 3_000)
    assert judged.time.tolist() == rows.time.tolist()
