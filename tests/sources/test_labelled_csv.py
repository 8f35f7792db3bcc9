import pytest

from monitor_core.sources import labelled_csv
from monitor_core.sources.labelled_csv import NotReadable


def read(tmp_path, text, name="web-1.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return labelled_csv.read(path)


def test_rows_are_samples_with_their_labels(tmp_path):
    text = "time,host,cpu,memory,label,culprit\n2026-01-01T00:00:00Z,a,30,40.5,0,\n1767225603,b,,96,leak,memory\n"
    recorded = read(tmp_path, text)
    assert recorded.frame.time.tolist() == [1_767_225_600_000, 1_767_225_603_000]
    assert recorded.frame.host_names() == ["a", "b"]
    assert recorded.frame.values[:, :2].tolist()[0] == [30, 40.5]
    assert recorded.label == ["", "leak"]
    assert recorded.culprit == ["", "memory"]


def test_without_a_host_column_the_file_names_the_host(tmp_path):
    assert read(tmp_path, "time,cpu\n1767225600,30\n").frame.hosts == ("web-1",)


def test_what_ingest_would_refuse_is_refused_and_takes_its_label_along(tmp_path):
    rows = ["1767225600,30,0", "1767225603,140,1", "never,30,1", ",30,1", "1767225609,x,1", "1767225612,inf,1"]
    recorded = read(tmp_path, "\n".join(["time,cpu,label", *rows, "1767225615,31,0"]))
    assert [(refused.index, refused.field) for refused in recorded.rejected] == [
        (1, "cpu"),
        (2, "timestamp"),
        (3, "timestamp"),
        (4, "cpu"),
        (5, "cpu"),
    ]
    assert recorded.frame.values[:, 0].tolist() == [30, 31]
    assert recorded.label == ["", ""]


@pytest.mark.parametrize("text", ["", "time,cpu\n", "cpu,memory\n1,2\n", "time,heat\n1,2\n"])
def test_a_file_that_holds_no_samples_is_refused(tmp_path, text):
    with pytest.raises(NotReadable, match="needs a column time"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_and_one_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(NotReadable, match="cannot be read"):
        labelled_csv.read(tmp_path / "none.csv")
    (tmp_path / "raw.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NotReadable, match="cannot be read"):
        labelled_csv.read(tmp_path / "raw.csv")
