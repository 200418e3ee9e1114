import numpy as np
import pytest

from tfdlcv.ops import prototype_cache, prototypes


def test_key_depends_on_everything():
    points = np.eye(3)
    keys = {
        prototype_cache.content_key({"seed": 0}),
        prototype_cache.content_key({"seed": 1}),
        prototype_cache.content_key({"seed": 0}, points),
        prototype_cache.content_key({"seed": 0}, -points),
        prototype_cache.content_key({"seed": 0}, points.astype("float32")),
        prototype_cache.content_key({"seed": 0}, points.reshape(9, 1)),
    }
    assert len(keys) == 6
    assert prototype_cache.content_key({"a": 1, "b": 2}) == prototype_cache.content_key({"b": 2, "a": 1})


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "new" / "points.npy"
    points = prototypes.simplex(4)
    prototype_cache.save(path, points)
    np.testing.assert_array_equal(prototype_cache.load(path, (4, 3)), points)
    assert [*path.parent.iterdir()] == [path]  # No temporary file is left.


def test_damaged_and_foreign_files_are_passed_over(tmp_path):
    path = tmp_path / "points.npy"
    assert prototype_cache.load(path, (4, 3)) is None
    points = prototypes.simplex(4)
    prototype_cache.save(path, points)
    assert prototype_cache.load(path, (4, 4)) is None
    path.write_bytes(path.read_bytes()[:-8])
    assert prototype_cache.load(path, (4, 3)) is None
    path.write_text("no array")
    assert prototype_cache.load(path, (4, 3)) is None
    prototype_cache.save(path, 2 * points)
    assert prototype_cache.load(path, (4, 3)) is None


def test_a_folder_that_cannot_be_written_to_costs_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="prototypes cannot be cached in .*file"):
        prototype_cache.save(tmp_path / "file" / "points.npy", prototypes.simplex(3))


def test_folder_follows_the_system(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert prototype_cache.default_folder() == tmp_path / "tfdlcv" / "prototypes"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert prototype_cache.default_folder().parts[-3:] == (".cache", "tfdlcv", "prototypes")
