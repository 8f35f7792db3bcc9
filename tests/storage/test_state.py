import sqlite3
from dataclasses import replace

import msgspec
import pytest

from monitor_core.incidents import Change, Counterfactual, Reason, State, resolve
from monitor_core.labels import Culprit, Direction, Label, Labelled
from monitor_core.notifications import DeliveryState, Event
from monitor_core.storage.journal import EntryKind, Journal
from monitor_core.storage.sqlite import SqliteStore
from monitor_core.storage.state import Decided, OutboxRow, StateStore
from monitor_core.storage.writer import StateFile, StateUnavailable
from tests.builders import T0, incident


@pytest.fixture
def file(tmp_path):
    opened = StateFile(tmp_path / "state.sqlite")
    yield opened
    opened.close()


def opened(state, number=7):
    own = incident(id=number, opened_at=T0 + number)
    state.commit(Decided(incidents=[own], outbox=[OutboxRow("slack", Event.OPENED, own, T0)]))
    return own


def test_every_writer_syncs_at_every_commit(file, tmp_path):
    assert file.pragma("synchronous") == 2
    assert file.pragma("journal_mode") == "wal"
    store = SqliteStore(tmp_path / "timeseries.sqlite")
    assert store._writer.execute("PRAGMA synchronous").fetchone()[0] == 2
    store.close()


def test_the_files_are_for_their_owner_only(file, tmp_path):
    assert (tmp_path / "state.sqlite").stat().st_mode & 0o077 == 0


def test_one_failing_job_does_not_undo_its_neighbours(file):
    good = file.submit(lambda db: db.execute("INSERT INTO meta VALUES ('a', '1')"))
    bad = file.submit(lambda db: db.execute("INSERT INTO meta VALUES ('b', NULL)"))
    also = file.submit(lambda db: db.execute("INSERT INTO meta VALUES ('c', '3')"))
    assert isinstance(bad.exception(5), sqlite3.IntegrityError)
    assert good.exception(5) is None
    assert also.exception(5) is None
    with file.read() as db:
        assert [row[0] for row in db.execute("SELECT key FROM meta ORDER BY key")] == ["a", "c"]


def test_a_full_disk_is_said_and_passes(file):
    file.run(lambda db: db.execute("PRAGMA max_page_count = 60"))
    journal = Journal(file)
    failures = [journal.append(EntryKind.SAMPLES, T0, b"x" * 20_000).exception(5) for _ in range(30)]
    assert any(isinstance(failure, StateUnavailable | sqlite3.Error) for failure in failures)
    file.run(lambda db: db.execute("PRAGMA max_page_count = 100000"))
    assert journal.append(EntryKind.SAMPLES, T0, b"x").exception(5) is None


def test_a_newer_file_is_refused_by_name(tmp_path):
    with sqlite3.connect(tmp_path / "state.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StateUnavailable, match="newer version"):
        StateFile(tmp_path / "state.sqlite")


def test_a_damaged_file_is_refused_by_name(tmp_path):
    (tmp_path / "state.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StateUnavailable, match=r"state\.sqlite"):
        StateFile(tmp_path / "state.sqlite")


def test_the_journal_keeps_order_and_never_reuses_a_position(file):
    journal = Journal(file)
    positions = [journal.append(EntryKind.SAMPLES, T0, b"%d" % i).result(5) for i in range(3)]
    journal.remove_through(positions[-1])
    later = journal.append(EntryKind.SAMPLES, T0, b"later").result(5)
    assert later > positions[-1]
    assert [entry.body for entry in journal.after(0, 10)] == [b"later"]


def test_an_incident_and_its_message_are_committed_together_or_not_at_all(file):
    state = StateStore(file)
    with pytest.raises((StateUnavailable, sqlite3.Error)):
        state.commit(Decided(incidents=[incident()], hosts=[replace_host()]))
    assert state.open_incidents() == []


def replace_host():
    class Broken:
        name = simulated = first_seen = first_sample = property(lambda self: object())

    return Broken()


def test_at_most_one_incident_of_a_kind_is_open_per_host(file):
    state = StateStore(file)
    opened(state, 1)
    with pytest.raises(sqlite3.IntegrityError):
        opened(state, 2)


def test_the_same_message_is_written_once(file):
    state = StateStore(file)
    own = opened(state)
    state.commit(Decided(outbox=[OutboxRow("slack", Event.OPENED, own, T0)]))
    assert len(state.claim("slack", T0, 10)) == 1


def test_a_claimed_message_is_not_claimed_again(file):
    state = StateStore(file)
    opened(state)
    assert len(state.claim("slack", T0, 10)) == 1
    assert state.claim("slack", T0, 10) == []


def test_what_a_dead_process_was_sending_may_be_a_repeat(file):
    state = StateStore(file)
    opened(state)
    state.claim("slack", T0, 10)
    assert state.recover(T0) == 1
    (again,) = state.claim("slack", T0, 10)
    assert again.may_be_repeat


def test_a_sent_message_stands_in_the_timeline(file):
    state = StateStore(file)
    own = opened(state)
    ids = [row.id for row in state.claim("slack", T0, 10)]
    state.mark_sent(ids, T0 + 5)
    assert [line.what for line in state.timeline(own.id)] == ["slack told"]
    assert state.outbox_count("slack", T0).sent_today == 1


def test_dead_letters_stay_visible(file):
    state = StateStore(file)
    opened(state)
    state.mark_dead([row.id for row in state.claim("slack", T0, 10)], "gone")
    (dead,) = state.notifications(state=DeliveryState.DEAD)
    assert dead.last_error == "gone"


def test_the_log_finds_what_was_open_in_a_range(file):
    state = StateStore(file)
    own = opened(state)
    over = resolve(own, T0 + 60_000, Reason.BACK_TO_NORMAL)
    state.commit(Decided(incidents=[over]))
    assert state.incidents(T0 + 30_000, T0 + 90_000) == [over]
    assert state.incidents(T0 + 90_000, T0 + 99_000) == []
    assert state.incidents(T0, T0 + 90_000, state=State.RESOLVED, host="web-3") == [replace(over)]


def labelled(own, label=Label.NEVER, at=T0):
    return Labelled(
        own.id, own.host, own.kind, (Culprit("cpu", Direction.HIGH),), own.opened_at, None, label, at, "why"
    )


def test_one_label_an_incident_and_it_knows_when_the_incident_ended(file):
    state = StateStore(file)
    first, second = opened(state), incident(id=8, host="web-4", opened_at=T0 + 8)
    state.commit(Decided(incidents=[second], labels=[labelled(first), labelled(second, at=T0 + 1)]))
    state.commit(Decided(labels=[labelled(first, Label.REAL, T0 + 2)]))
    assert [(record.incident, record.label) for record in state.labels()] == [(7, Label.REAL), (8, Label.NEVER)]
    state.commit(Decided(incidents=[resolve(second, T0 + 99, Reason.BACK_TO_NORMAL)]))
    assert state.label_of(8) == replace(labelled(second, at=T0 + 1), resolved_at=T0 + 99)
    assert [record.incident for record in state.labels("web-4")] == [8]
    state.commit(Decided(labels=[labelled(first, None)]))
    assert state.label_of(7) is None


def test_incidents_are_found_by_their_label(file):
    state = StateStore(file)
    first, second = opened(state), incident(id=8, host="web-4", opened_at=T0 + 8)
    state.commit(Decided(incidents=[second], labels=[labelled(first)]))
    found = {word: [i.id for i in state.incidents(0, T0 + 100, label=word)] for word in ("never", "real", "none", None)}
    assert found == {"never": [7], "real": [], "none": [8], None: [8, 7]}


def test_a_file_of_before_there_were_labels_gets_them(tmp_path):
    path = tmp_path / "state.sqlite"
    file = StateFile(path)
    own = opened(StateStore(file))
    body = msgspec.to_builtins(own)
    without = {key: value for key, value in body.items() if key not in ("label", "expected_now")}
    file.run(lambda db: db.execute("UPDATE incident SET body = ?", (msgspec.msgpack.encode(without),)))
    file.run(lambda db: db.execute("DROP TABLE label"))
    file.close()
    file = StateFile(path)
    state = StateStore(file)
    assert state.incident(own.id) == own
    state.commit(Decided(labels=[labelled(own)]))
    assert state.label_of(own.id).label is Label.NEVER
    file.close()


def test_an_explanation_is_kept_and_an_incident_of_before_has_none(file):
    state = StateStore(file)
    normal = Counterfactual("Normal with CPU ≤ 46 %", ((Change("cpu", 46.0, True),),))
    own = incident(since=T0 - 5, detector="robust_z", counterfactual=normal)
    state.commit(Decided(incidents=[own]))
    assert state.incident(own.id) == own
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(replace(own, id=8, host="web-4", opened_at=T0 + 1)))
    for name in ("since", "detector", "counterfactual"):
        del old[name]
    row = (8, "web-4", own.kind, own.state, T0 + 1, None, msgspec.msgpack.encode(old))
    file.run(lambda db: db.execute("INSERT INTO incident VALUES (?, ?, ?, ?, ?, ?, ?)", row))
    before = state.incident(8)
    assert (before.since, before.detector, before.counterfactual) == (None, None, None)
    assert before.evidence == own.evidence


def test_what_comes_after_the_close_fails_at_once(tmp_path):
    file = StateFile(tmp_path / "closed.sqlite")
    file.close()
    with pytest.raises(StateUnavailable, match="closed"):
        file.run(lambda db: None, timeout=5)
