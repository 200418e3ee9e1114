"""Piano rolls: files of the published layout, what is wrong with others, windows, and made-up pieces."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.io import savemat

from tfdlcv.data import music
from tfdlcv.data.music import GeneratedMusicConfig, JSBConfig, NottinghamConfig
from tfdlcv.errors import UserError


def cells(rolls):
    array = np.empty((1, len(rolls)), object)
    for index, roll in enumerate(rolls):
        array[0, index] = roll
    return array


def rolls(*lengths):
    return [music.generate_piece(length, seed=(index,)).astype("float64") for index, length in enumerate(lengths)]


def write(path, train, **parts):
    content = {"traindata": train, "validdata": rolls(4), "testdata": rolls(5), **parts}
    savemat(path, {key: cells(value) for key, value in content.items()})


def test_the_published_layout(tmp_path):
    pieces = rolls(7, 3)
    write(tmp_path / "JSB_Chorales.mat", pieces)
    splits = music.build(JSBConfig(name="jsb", folder=str(tmp_path)))
    assert [split.num_examples for split in splits.values()] == [2, 1, 1]
    batch = {name: value.numpy() for name, value in splits["train"].fetch(tf.constant([0, 1])).items()}
    assert batch["sequence"].shape == (2, 6, 88)
    np.testing.assert_array_equal(batch["sequence"][0], pieces[0][:-1])
    np.testing.assert_array_equal(batch["targets"][0], pieces[0][1:])
    np.testing.assert_array_equal(batch["counted"], [[1] * 6, [1, 1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(batch["targets"][1][:2], pieces[1][1:])


def test_windows_score_every_step_once(tmp_path):
    pieces = rolls(8, 4)
    write(tmp_path / "Nottingham.mat", pieces)
    split = music.build(NottinghamConfig(name="nottingham", folder=str(tmp_path), window=3))["train"]
    batch = {name: value.numpy() for name, value in split.fetch(tf.range(split.num_examples)).items()}
    scored = [row[mask] for row, mask in zip(batch["targets"], batch["counted"], strict=True)]
    np.testing.assert_array_equal(np.concatenate(scored), np.concatenate([piece[1:] for piece in pieces]))


def test_bad_files(tmp_path):
    config = JSBConfig(name="jsb", folder=str(tmp_path))
    path = tmp_path / "JSB_Chorales.mat"
    with pytest.raises(UserError, match="no such file"):
        music.build(config)
    path.write_bytes(b"not a MATLAB file" * 20)
    with pytest.raises(UserError, match="is not a MATLAB file"):
        music.build(config)
    savemat(path, {"traindata": cells(rolls(3))})
    with pytest.raises(UserError, match="lacks validdata, testdata"):
        music.build(config)
    write(path, [np.zeros((5, 87))])
    with pytest.raises(UserError, match=r"traindata\[0\] must be \(2 or more steps, 88\), but is \(5, 87\)"):
        music.build(config)
    write(path, [np.full((5, 88), 3.0)])
    with pytest.raises(UserError, match="zeros and ones; it has 3.0..3.0"):
        music.build(config)


def test_generated_pieces_are_functions_of_their_seed_and_hold_chords():
    config = GeneratedMusicConfig(name="generated", steps=20, train_examples=3)
    first, second = (music.build(config)["train"].fetch(tf.range(3))["sequence"].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (3, 20, 88) and (first[0] != first[1]).any()
    assert set(np.unique(first.sum(axis=-1))) <= {2.0, 3.0}
