"""Checkpoints: whole or absent, and what is done about damaged ones."""

import os

import keras
import numpy as np
import pytest

from tfdlcv.errors import UserError
from tfdlcv.training import checkpoints
from tfdlcv.training.checkpoints import DamagedCheckpointError, Position

ARRAYS = {"network/0000.kernel": np.arange(6, dtype="float32").reshape(2, 3), "optimizer/0000.step": np.int64(7)}
POSITION = Position(
    step=7, epoch=1, step_in_epoch=3, history=({"epoch": 1, "loss": 0.5},), best_value=0.5, best_epoch=1
)


def write(directory, step=7):
    path = checkpoints.checkpoint_path(directory, step)
    checkpoints.save(path, ARRAYS, Position(step=step, epoch=0))
    return path


def test_round_trip(tmp_path):
    path = tmp_path / "x.npz"
    checkpoints.save(path, ARRAYS, POSITION)
    arrays, position = checkpoints.load(path)
    assert position == POSITION
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == np.asarray(array).dtype
    assert os.listdir(tmp_path) == ["x.npz"]


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_file_that_was_cut_short_is_detected(tmp_path, keep):
    path = write(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(DamagedCheckpointError, match=path.name):
        checkpoints.load(path)


def test_a_flipped_bit_is_detected(tmp_path):
    path = write(tmp_path)
    content = bytearray(path.read_bytes())
    start = content.index(ARRAYS["network/0000.kernel"].tobytes())
    content[start + 5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedCheckpointError):
        checkpoints.load(path)


def test_the_newest_readable_checkpoint_is_found_and_the_damaged_one_named(tmp_path):
    write(tmp_path, 7)
    newest = write(tmp_path, 12)
    newest.write_bytes(newest.read_bytes()[:-40])
    messages = []
    path, _, position = checkpoints.load_latest(tmp_path, messages.append)
    assert position.step == 7 and path.name == "step_0000000007.npz"
    assert len(messages) == 1 and "step_0000000012.npz" in messages[0]


def test_none_without_checkpoints(tmp_path):
    assert checkpoints.load_latest(tmp_path) is None
    assert checkpoints.load_latest(tmp_path / "absent") is None


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "best.npz"
    checkpoints.save(path, ARRAYS, POSITION)
    before = path.read_bytes()

    def write_half():
        with checkpoints.atomic_file(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["best.npz"]


def test_prune_keeps_the_newest_and_removes_what_a_killed_write_left(tmp_path):
    for step in (1, 2, 30):
        write(tmp_path, step)
    (tmp_path / ".step_0000000031.npz.99.tmp").write_bytes(b"half")
    checkpoints.prune(tmp_path, keep_last=2, step=30)
    assert sorted(os.listdir(tmp_path)) == ["step_0000000002.npz", "step_0000000030.npz"]


def test_prune_keeps_none_beyond_the_step_of_the_run(tmp_path):
    """A run that passed over two damaged checkpoints and resumed at step 1 must not lose what it then saves."""
    for step in (1, 3, 24, 27):
        write(tmp_path, step)
    checkpoints.prune(tmp_path, keep_last=1, step=3)
    assert os.listdir(tmp_path) == ["step_0000000003.npz"]


def test_any_changed_byte_is_damage_or_harmless(tmp_path):
    """Some make zipfile believe in an encryption or a compression that it lacks."""
    path = tmp_path / "step_0000000003.npz"
    checkpoints.save(path, ARRAYS, POSITION)
    good = path.read_bytes()
    start = good.rindex(b"PK\x01\x02")  # The last entry of the archive's directory.
    damaged = 0
    for place in range(start, len(good)):
        for value in (1, 255):
            path.write_bytes(good[:place] + bytes([good[place] ^ value]) + good[place + 1 :])
            try:
                checkpoints.load(path)
            except DamagedCheckpointError:
                damaged += 1
    assert damaged > 20


def test_copy(tmp_path):
    path = write(tmp_path)
    checkpoints.copy(path, tmp_path / "best.npz")
    assert (tmp_path / "best.npz").read_bytes() == path.read_bytes()


def test_assign_checks_names_and_shapes_before_it_changes_anything(tmp_path):
    variables = {"a": keras.Variable([1.0, 2.0]), "b": keras.Variable([[1.0]])}
    good = {"a": np.array([3.0, 4.0], "float32"), "b": np.array([[5.0]], "float32")}
    with pytest.raises(UserError, match=r"Missing in the file: \['b'\]. Unknown to the config: \['c'\]"):
        checkpoints.assign(variables, {"a": good["a"], "c": good["b"]}, tmp_path)
    with pytest.raises(UserError, match=r"b has shape \(2,\), but the network of this config needs \(1, 1\)"):
        checkpoints.assign(variables, {"a": good["a"], "b": good["a"]}, tmp_path)
    np.testing.assert_array_equal(variables["a"].numpy(), [1.0, 2.0])
    checkpoints.assign(variables, good, tmp_path)
    np.testing.assert_array_equal(variables["a"].numpy(), [3.0, 4.0])


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "step_0000000001.npz"
    np.savez(path, __meta__=np.array([{"step": 1}], dtype=object))
    with pytest.raises(DamagedCheckpointError):
        checkpoints.load(path)
