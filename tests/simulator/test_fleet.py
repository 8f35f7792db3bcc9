import json
from itertools import pairwise

import numpy as np
import pytest

from monitor_core.frame import concat
from simulator.faults import Fault, FaultKind, apply
from simulator.fleet import Fleet, host_names, simulated_source
from simulator.load import CPU, DISK_IO, MEMORY, load
from simulator.scenarios import Schedule
from tests.builders import T0

MINUTE = 60_000
WEEK = np.arange(T0, T0 + 7 * 86_400_000, MINUTE)


def values_of(kind, minutes):
    times = np.arange(T0, T0 + 60 * MINUTE, 3_000)
    table = load(7, np.zeros(len(times), int), times)
    sent = apply(table, np.zeros(len(times), int), times, [Fault(kind, 0, T0, T0 + minutes * MINUTE)])
    return table, sent, times < T0 + minutes * MINUTE


def test_past_and_present_agree():
    fleet = Fleet(6, 7, T0)
    whole = fleet.frame(np.arange(T0, T0 + 30_000, 3_000))
    live = concat([fleet.frame(np.array([at])) for at in range(T0, T0 + 30_000, 3_000)])
    assert live.to_bytes() == whole.to_bytes()


def test_another_seed_is_another_fleet():
    assert Fleet(6, 1, T0).frame(np.array([T0])).to_bytes() != Fleet(6, 2, T0).frame(np.array([T0])).to_bytes()


def test_a_normal_week_of_fifty_hosts_breaches_no_limit():
    host, time = np.repeat(np.arange(50), len(WEEK[::5])), np.tile(WEEK[::5], 50)
    assert (load(7, host, time).max(axis=0) < [85, 85, 90, 80]).all()


def test_metrics_move_together_and_with_the_day():
    table = load(7, np.zeros(len(WEEK), int), WEEK)
    assert np.corrcoef(table[:, CPU], table[:, MEMORY])[0, 1] > 0.3
    assert np.corrcoef(table[:, CPU], table[:, DISK_IO])[0, 1] > 0.3
    hour = (WEEK % 86_400_000) // 3_600_000
    assert table[hour == 15, CPU].mean() > table[hour == 3, CPU].mean() + 5


@pytest.mark.parametrize(
    ("kind", "minutes", "metric", "reaches"),
    [
        (FaultKind.CPU_SATURATION, 4, 0, 95),
        (FaultKind.MEMORY_LEAK, 15, 1, 95),
        (FaultKind.DISK_FILL, 12, 2, 94),
        (FaultKind.NIGHTLY_BACKUP, 22, 3, 65),
        (FaultKind.CPU_BUSY, 5, 0, 65),
        (FaultKind.MEMORY_JUMP, 6, 1, 60),
        (FaultKind.DISK_JUMP, 10, 2, 64),
        (FaultKind.DISK_IO_STORM, 3, 3, 65),
    ],
)
def test_every_fault_shows_while_it_lasts_and_no_longer(kind, minutes, metric, reaches):
    table, sent, during = values_of(kind, minutes)
    assert table[during, metric].max() >= reaches
    assert table[~during, metric].max() < reaches - 15
    assert sent.all()


def test_a_silent_host_sends_nothing():
    _, sent, during = values_of(FaultKind.SILENCE, 2)
    assert not sent[during].any()
    assert sent[~during].all()


def test_the_first_fault_comes_within_two_minutes_and_is_a_cpu():
    first = Schedule(7, 6, T0).overlapping(T0, T0 + 120_000)[0]
    assert (first.kind, first.start) == (FaultKind.CPU_SATURATION, T0 + 75_000)


@pytest.mark.parametrize("seed", range(20))
def test_no_host_has_two_faults_at_once(seed):
    faults = [f for f in Schedule(seed, 6, T0).overlapping(T0, T0 + 86_400_000) if not f.benign]
    for before, after in pairwise(faults):
        assert before.host != after.host or before.stop <= after.start


def test_the_backup_comes_every_night_and_is_benign():
    backups = [f for f in Schedule(7, 6, T0, 3).overlapping(T0, T0 + 3 * 86_400_000) if f.benign]
    assert [(f.host, f.start % 86_400_000) for f in backups] == [(3, 2 * 3_600_000)] * 3


def test_the_truth_is_written_once_per_fault_also_over_a_restart(tmp_path):
    for now in (T0, T0 + 500_000):
        source = simulated_source(6, 7, tmp_path, now)
        source.read(T0 + 80_000)
        source.read(T0 + 83_000)
    lines = [json.loads(line) for line in (tmp_path / "ground_truth.jsonl").read_text().splitlines()]
    assert lines[0] == {"started_at": T0, "seed": 7}
    assert [(row["kind"], row["host"] in host_names(6)) for row in lines[1:]] == [("cpu_saturation", True)]


def test_every_simulated_host_is_marked():
    assert Fleet(6, 7, T0).frame(np.array([T0])).simulated.all()


def test_history_is_in_order_and_complete():
    source = Fleet(6, 7, T0)
    frame = source.frame(np.arange(T0 - 3_600_000, T0, 3_000))
    assert len(frame) == 7_200
    assert len(set(zip(frame.time.tolist(), frame.code.tolist(), strict=True))) == 7_200


def test_planned_faults_are_all_that_a_quiet_fleet_has():
    leak = Fault(FaultKind.SLOW_LEAK, 1, T0, T0 + 60 * MINUTE)
    stuck = Fault(FaultKind.STUCK_SENSOR, 0, T0 + 10 * MINUTE, T0 + 20 * MINUTE, held=41.3)
    schedule = Schedule(7, 6, T0, quiet=True, planned=(leak, stuck))
    assert schedule.overlapping(T0, T0 + 7 * 86_400_000) == [leak, stuck]
    assert schedule.overlapping(T0 + 30 * MINUTE, T0 + 40 * MINUTE) == [leak]


def test_a_slow_leak_adds_thirty_points_and_a_stuck_sensor_shows_one_value():
    healthy = load(7, np.zeros(1_200, int), np.arange(T0, T0 + 60 * MINUTE, 3_000))
    leaking, _, _ = values_of(FaultKind.SLOW_LEAK, 60)
    assert 29 < (leaking - healthy)[-1, MEMORY] < 30
    table = healthy.copy()
    apply(
        table,
        np.zeros(1_200, int),
        np.arange(T0, T0 + 60 * MINUTE, 3_000),
        [Fault(FaultKind.STUCK_SENSOR, 0, T0, T0 + 10 * MINUTE, held=41.3)],
    )
    assert set(table[:200, MEMORY]) == {41.3}
    assert (table[200:] == healthy[200:]).all()
