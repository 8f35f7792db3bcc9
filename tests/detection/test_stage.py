import pytest

from monitor_core.detection.multiscale import DAY_MS
from monitor_core.detection.stage import Stage, learned

LEVEL_MS = 15_000.0


@pytest.mark.parametrize(
    ("levels", "version", "days", "stage", "progress", "following"),
    [
        (0, 0, 0, Stage.LIMITS_ONLY, 0.0, "last hour in 3 min"),
        (6, 1, 5, Stage.LIMITS_ONLY, 0.5, "last hour in 2 min"),
        (12, 0, 0, Stage.LAST_HOUR, 0.05, "full baseline in 57 min"),
        (239, 1, 9, Stage.LAST_HOUR, 0.996, "full baseline in 1 min"),
        (240, 0, 9, Stage.LAST_HOUR, 1.0, "forest after the first training"),
        (240, 1, 0, Stage.FOREST, 0.0, "daily pattern in 3 days"),
        (240, 1, 1.5, Stage.FOREST, 0.5, "daily pattern in 2 days"),
        (240, 1, 2.5, Stage.FOREST, 0.833, "daily pattern in 12 h"),
        (240, 1, 2.99, Stage.FOREST, 0.997, "daily pattern in 15 min"),
        (240, 1, 3, Stage.DAYS, 1.0, None),
    ],
)
def test_stages_follow_each_other(levels, version, days, stage, progress, following):
    told = learned(levels, LEVEL_MS, version, int(days * DAY_MS))
    assert (told.stage, told.progress, told.next) == (stage, progress, following)


def test_the_sentence_names_who_speaks_and_what_comes():
    assert learned(3, LEVEL_MS, 1, 0).sentence == "Learning this host: only limits speak, last hour in 3 min"
    assert (
        learned(240, LEVEL_MS, 1, DAY_MS).sentence
        == "Learning this host: limits, last hour and forest speak, daily pattern in 2 days"
    )


def test_a_host_that_sends_rarely_takes_longer():
    assert learned(0, 60_000.0, 0, 0).next == "last hour in 12 min"
