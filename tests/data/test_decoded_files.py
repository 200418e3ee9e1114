import io
import os

import numpy as np
import pytest
from PIL import Image

from tfdlcv.data import decoded_files, images
from tfdlcv.errors import UserError

SHAPE = (8, 8, 3)


def write(folder, count=6) -> list[str]:
    """Images of one grey value each, 10 times their index."""
    paths = []
    for index in range(count):
        path = folder / f"{index}.png"
        Image.fromarray(np.full((16, 12, 3), 10 * index, np.uint8)).save(path)
        paths.append(str(path))
    return paths


def damage(path: str) -> None:
    """Shortens a file and sets back its time of change, so that its size alone tells."""
    status = os.stat(path)
    with open(path, "r+b") as file:
        file.truncate(status.st_size // 2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def never_decode(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr(decoded_files, "decode_all", refuse)


def test_unreadable_files_are_found_with_reasons(tmp_path):
    paths = write(tmp_path)
    damage(paths[1])
    open(paths[3], "wb").close()
    with open(paths[4], "w") as file:
        file.write("<html>404</html>")
    os.remove(paths[5])
    faults = decoded_files.find_unreadable(paths, tmp_path / "cache")
    assert sorted(faults) == [1, 3, 4, 5]
    assert "Invalid PNG data" in faults[1]
    assert faults[3] == "Input is empty."
    assert faults[4].startswith("Unknown image file format")
    assert faults[5] == "No such file or directory"


def test_a_palette_bmp_and_a_dangling_link_are_found(tmp_path):
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (9, 9, 3), np.uint8)).convert("P").save(tmp_path / "a.bmp")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "b.png")
    faults = decoded_files.find_unreadable([str(tmp_path / "a.bmp"), str(tmp_path / "b.png")], tmp_path / "cache")
    assert faults == {0: "BMP with 8 bits a pixel; convert it to PNG", 1: "No such file or directory"}


def test_what_was_found_is_known_the_next_time(tmp_path, never_decode):
    paths = write(tmp_path)
    damage(paths[1])
    faults = decoded_files.find_unreadable(paths, tmp_path / "cache")
    never_decode()
    assert decoded_files.find_unreadable(paths, tmp_path / "cache") == faults


def test_changed_files_are_checked_again(tmp_path):
    paths = write(tmp_path)
    assert decoded_files.find_unreadable(paths, tmp_path / "cache") == {}
    damage(paths[2])
    assert list(decoded_files.find_unreadable(paths, tmp_path / "cache")) == [2]


def test_a_damaged_store_is_made_anew(tmp_path):
    paths = write(tmp_path)
    damage(paths[0])
    decoded_files.find_unreadable(paths, tmp_path / "cache")
    (store,) = (tmp_path / "cache").iterdir()
    store.write_text('{"0": "cut sho')
    assert list(decoded_files.find_unreadable(paths, tmp_path / "cache")) == [0]


def test_a_cache_folder_that_cannot_be_written_costs_only_time(tmp_path, caplog):
    paths = write(tmp_path)
    (tmp_path / "file").touch()
    assert decoded_files.find_unreadable(paths, tmp_path / "file" / "cache") == {}
    assert "the files will be checked again next time" in caplog.text


def test_in_memory(tmp_path):
    paths = write(tmp_path)
    damage(paths[2])
    array, faults = decoded_files.in_memory(paths, images.decoder(SHAPE), SHAPE)
    assert array.dtype == np.uint8
    assert array.shape == (6, *SHAPE)
    assert array[:, 4, 4, 1].tolist() == [0, 10, 0, 30, 40, 50]
    assert list(faults) == [2]


def test_in_more_memory_than_there_is(tmp_path):
    shape = (10**7, 10**7, 3)
    with pytest.raises(
        UserError, match=r"data\.cache: memory needs 558793\.54 GiB for 2 images .* use data\.cache: disk"
    ):
        decoded_files.in_memory(["a", "b"], images.decoder(shape), shape)


def test_on_disk(tmp_path, never_decode):
    paths = write(tmp_path)
    damage(paths[2])
    decode, cache = images.decoder(SHAPE), tmp_path / "cache"
    array, faults = decoded_files.on_disk(paths, decode, SHAPE, cache, resize="crop")
    assert isinstance(array, np.memmap)
    assert array[:, 4, 4, 1].tolist() == [0, 10, 0, 30, 40, 50]
    assert list(faults) == [2]
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]  # No partial files.
    never_decode()
    again, faults_again = decoded_files.on_disk(paths, decode, SHAPE, cache, resize="crop")
    np.testing.assert_array_equal(again, array)
    assert faults_again == faults


def test_on_disk_distinguishes_contents_and_preparations(tmp_path):
    paths = write(tmp_path, 3)
    cache = tmp_path / "cache"

    def fill(paths, shape=SHAPE, resize="crop"):
        decoded_files.on_disk(paths, images.decoder(shape, resize), shape, cache, resize=resize)
        return len(list(cache.glob("*.npy")))

    assert fill(paths) == 1
    assert fill(paths) == 1
    assert fill(paths, resize="pad") == 2
    assert fill(paths, shape=(8, 8, 1)) == 3
    assert fill(paths[:2]) == 4
    os.utime(paths[0], (1, 1))
    assert fill(paths) == 5


def test_on_disk_after_an_interruption(tmp_path):
    paths = write(tmp_path, 3)
    cache = tmp_path / "cache"

    def interrupted(encoded):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoded_files.on_disk(paths, interrupted, SHAPE, cache, resize="crop")
    assert list(cache.iterdir()) == []
    array, _ = decoded_files.on_disk(paths, images.decoder(SHAPE), SHAPE, cache, resize="crop")
    assert array[:, 4, 4, 1].tolist() == [0, 10, 20]


def test_on_disk_without_room(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 2**20})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    shape = (1000, 1000, 3)
    with pytest.raises(UserError, match=r"needs 0\.01 GiB in .*cache, where 0\.00 GiB are free; name another folder"):
        decoded_files.on_disk(write(tmp_path, 3), images.decoder(shape), shape, tmp_path / "cache", resize="crop")


def test_on_disk_in_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"cannot write to .*file/cache: Not a directory; name another folder in data\.cache"
    ):
        decoded_files.on_disk(
            write(tmp_path, 2), images.decoder(SHAPE), SHAPE, tmp_path / "file" / "cache", resize="crop"
        )


def test_default_cache_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(decoded_files.default_cache_folder()) == "/somewhere/tfdlcv"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(decoded_files.default_cache_folder()) == "/home/someone/.cache/tfdlcv"


def test_progress_is_shown_for_many_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(decoded_files, "_PROGRESS_FROM", 3)
    decoded_files.find_unreadable(write(tmp_path, 2), tmp_path / "few")
    assert capsys.readouterr().out == ""
    decoded_files.find_unreadable(write(tmp_path, 5), tmp_path / "many")
    assert "5/5" in capsys.readouterr().out


def test_more_files_than_one_group(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(stream, "PNG")
    paths = [str(tmp_path / f"{index}.png") for index in range(150)]
    for index, path in enumerate(paths):
        with open(path, "wb") as file:
            file.write(b"" if index in (0, 63, 64, 149) else stream.getvalue())
    assert list(decoded_files.find_unreadable(paths, tmp_path / "cache")) == [0, 63, 64, 149]
