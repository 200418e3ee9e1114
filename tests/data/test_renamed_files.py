import os

import pytest

from tfdlcv.data.renamed_files import folder_then_renamed, written_then_renamed


def test_a_file_gets_its_name_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    with written_then_renamed(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert os.listdir(tmp_path) == ["a.txt"] and path.read_text() == "new"


def fail(context, name=None):
    with context as partial:
        if name is None:
            partial.write_text("half")
        else:
            (partial / name).touch()
        raise RuntimeError


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        fail(written_then_renamed(path))
    assert os.listdir(tmp_path) == ["a.txt"] and path.read_text() == "old"


def test_a_folder_gets_its_name_at_the_end_and_a_failure_leaves_none(tmp_path):
    path = tmp_path / "data"
    with pytest.raises(RuntimeError):
        fail(folder_then_renamed(path), "a")
    assert os.listdir(tmp_path) == []
    with folder_then_renamed(path) as partial:
        (partial / "b").touch()
        assert not path.exists()
    assert os.listdir(tmp_path) == ["data"] and os.listdir(path) == ["b"]
