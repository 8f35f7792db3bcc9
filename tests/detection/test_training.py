import hashlib
import json
import random

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from monitor_core.detection import training
from monitor_core.detection.comparison import Flagged, KnownIncident, compare
from monitor_core.detection.detectors import isolation_forest
from monitor_core.detection.features import FEATURES
from monitor_core.detection.model_registry import ModelDamaged, ModelInfo, ModelRegistry
from tests.builders import steady

RNG = np.random.default_rng(3)
TABLE = RNG.normal(size=(4_000, len(FEATURES)))
PROBES = RNG.normal(size=(3_000, len(FEATURES))) * 2
EXTRA = {"neighbours": {"sums": RNG.normal(size=(6, 4)), "hosts": np.array(["a", "web-1"]), "n": np.array(3)}}
FILES = ("forest.npz", "manifest.json", "neighbours.npz", "comparison.json")


def info(version=1):
    return ModelInfo(version, 0, 4_000, 3, True, 0, 1, "by hand", 1.0, 0.001)


@pytest.fixture(scope="module")
def forest():
    return training.fit(TABLE)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_arrays_score_as_scikit_learn_does(seed):
    model = IsolationForest(n_estimators=100, random_state=seed).fit(TABLE.astype(np.float32))
    ours = isolation_forest.raw_scores(training.flatten(model, TABLE), PROBES)
    theirs = -model.score_samples(PROBES.astype(np.float32))
    assert np.abs(ours - theirs).max() < 1e-14
    assert ((ours > 0.5) == (theirs > 0.5)).all()


def test_a_small_training_set_works_too():
    few = TABLE[:3]
    model = IsolationForest(n_estimators=10, random_state=0).fit(few.astype(np.float32))
    ours = isolation_forest.raw_scores(training.flatten(model, few), PROBES)
    assert np.abs(ours + model.score_samples(PROBES.astype(np.float32))).max() < 1e-14


def test_the_same_rows_and_seed_give_the_same_forest(forest):
    again = training.fit(TABLE)
    assert isolation_forest.raw_scores(again, PROBES).tobytes() == isolation_forest.raw_scores(forest, PROBES).tobytes()


def test_one_row_scores_as_it_does_among_many(forest):
    many = isolation_forest.raw_scores(forest, PROBES)
    for n in (1, 2, 3, 8, 100):
        assert isolation_forest.raw_scores(forest, PROBES[7 : 7 + n]).tobytes() == many[7 : 7 + n].tobytes()


def test_the_typical_row_scores_low_and_a_far_one_high(forest):
    far = np.full((1, len(FEATURES)), 9.0)
    assert isolation_forest.score(forest, np.zeros((1, len(FEATURES))))[0] < 0.1
    assert isolation_forest.score(forest, far)[0] > 0.75


def test_features_are_those_of_normal_samples_after_warm_up():
    frame = steady(n=200)
    normal = np.ones(200, np.bool_)
    normal[150:] = False
    assert 80 < len(training.feature_table([(frame, normal)], 15_000)) < 100


def test_a_saved_version_scores_the_same_bit_for_bit(tmp_path, forest):
    registry = ModelRegistry(tmp_path)
    registry.save(info(), forest)
    found, loaded = registry.load(1)
    assert found == info()
    assert isolation_forest.score(loaded, PROBES).tobytes() == isolation_forest.score(forest, PROBES).tobytes()


def test_a_thousand_damaged_files_give_no_score_at_all(tmp_path, forest):
    """Flipped and cut at random: each load is refused, or gives what was saved bit for bit; nothing else ever."""
    registry = ModelRegistry(tmp_path)
    registry.save(info(), forest, EXTRA)
    registry.attach(1, compared())
    whole = everything(registry)
    lots, refused = random.Random(11), 0
    for i in range(1_000):
        path = tmp_path / "v0001" / FILES[i % len(FILES)]
        content = path.read_bytes()
        path.write_bytes(damaged(content, lots))
        try:
            assert everything(registry) == whole
        except ModelDamaged:
            refused += 1
        path.write_bytes(content)
    assert refused == 1_000, "a bit that nobody reads would have no checksum"
    assert everything(registry) == whole


def everything(registry):
    """All that can be loaded of version 1, as bytes."""
    found, loaded = registry.load(1)
    arrays = [getattr(loaded, name) for name in ("roots", "feature", "left", "threshold", "path")]
    arrays += [array for name in registry.groups(1) for _, array in sorted(registry.further(1, name).items())]
    return found, registry.info(1), registry.comparison(1), [(array.dtype.str, array.tobytes()) for array in arrays]


def compared():
    return compare(
        (0, 1_000), 1, 10, (1, [Flagged("a", 1, 2, "cpu", 0.8)]), (2, []), [KnownIncident("a", 1, 2, "real")]
    )


def damaged(whole, lots):
    at = lots.randrange(len(whole))
    if lots.random() < 0.2:
        return whole[:at]
    return whole[:at] + bytes([whole[at] ^ (1 << lots.randrange(8))]) + whole[at + 1 :]


def test_further_arrays_are_kept_beside_the_forest_bit_for_bit(tmp_path, forest):
    registry = ModelRegistry(tmp_path)
    registry.save(info(), forest, EXTRA)
    assert registry.groups(1) == ["neighbours"]
    found = registry.further(1, "neighbours")
    assert {name: (a.dtype, a.tobytes()) for name, a in found.items()} == {
        name: (a.dtype, a.tobytes()) for name, a in EXTRA["neighbours"].items()
    }
    assert registry.further(1, "nothing") == {}


def test_further_arrays_are_read_only_when_somebody_asks_for_them(tmp_path, forest):
    registry = ModelRegistry(tmp_path)
    registry.save(info(), forest, EXTRA)
    (tmp_path / "v0001" / "neighbours.npz").unlink()
    registry.load(1)
    with pytest.raises(ModelDamaged, match="neighbours"):
        registry.further(1, "neighbours")


@pytest.mark.parametrize("name", ["forest", "../x", "", "A"])
def test_a_group_of_arrays_has_a_plain_name(tmp_path, forest, name):
    with pytest.raises(ValueError, match="no name"):
        ModelRegistry(tmp_path).save(info(), forest, {name: {}})


def test_no_object_is_ever_pickled(tmp_path, forest):
    with pytest.raises(ValueError, match=r"[Oo]bject arrays"):
        ModelRegistry(tmp_path).save(info(), forest, {"odd": {"a": np.array([None])}})
    assert ModelRegistry(tmp_path).versions() == []


def test_a_version_from_before_there_were_further_arrays_still_loads(tmp_path, forest):
    registry = ModelRegistry(tmp_path)
    registry.save(info(), forest)
    rewrite(tmp_path, lambda old: old.pop("extra"), lambda old: old["info"].pop("votes"))
    assert registry.load(1)[0] == info()
    assert (registry.groups(1), registry.further(1, "neighbours"), registry.comparison(1)) == ([], {}, None)


def test_what_a_newer_program_wrote_beside_it_is_left_out(tmp_path, forest):
    registry = ModelRegistry(tmp_path)
    registry.save(info(), forest)
    rewrite(tmp_path, lambda old: old["info"].update(colour="blue"))
    assert registry.info(1) == info()


def rewrite(folder, *changes):
    path = folder / "v0001" / "manifest.json"
    manifest = json.loads(path.read_bytes().partition(b"\n")[2])
    for change in changes:
        change(manifest)
    body = json.dumps(manifest).encode()
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def test_a_forest_fitted_in_pieces_is_the_one_fitted_at_once(forest):
    pauses = []
    again = training.fit(TABLE, pause=lambda: pauses.append(1))
    whole = IsolationForest(n_estimators=training.TREES, random_state=training.SEED).fit(TABLE.astype(np.float32))
    at_once = isolation_forest.raw_scores(training.flatten(whole, TABLE), PROBES)
    assert isolation_forest.raw_scores(again, PROBES).tobytes() == at_once.tobytes()
    assert len(pauses) > training.TREES


def test_a_missing_file_and_a_link_are_refused(tmp_path, forest):
    registry = ModelRegistry(tmp_path)
    registry.save(info(), forest)
    path = tmp_path / "v0001" / "forest.npz"
    path.rename(tmp_path / "elsewhere.npz")
    with pytest.raises(ModelDamaged, match="cannot be read"):
        registry.load(1)
    path.symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(ModelDamaged, match="link"):
        registry.load(1)


def test_a_draft_that_was_never_finished_is_no_version(tmp_path):
    (tmp_path / ".draft-3").mkdir()
    registry = ModelRegistry(tmp_path)
    assert registry.versions() == []
    assert registry.next_version() == 1
