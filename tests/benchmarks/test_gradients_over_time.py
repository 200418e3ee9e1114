"""The picture of lecture 3: what it shows is so."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import gradients_over_time


def test_it_measures_and_draws(monkeypatch, tmp_path):
    options = ["--steps", "60", "--picture", str(tmp_path / "a.png"), "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["gradients_over_time", *options])
    gradients_over_time.main()
    ratios = json.loads((tmp_path / "gradients_over_time.json").read_text())["first_over_last"]
    assert ratios["rnn_smaller, deviation 0.001"] < 1e-4
    assert 0.1 < ratios["rnn_orthogonal, deviation 0.001"] < 10
    assert ratios["rnn_larger, deviation 0.001"] > 2
    for name in ("rnn_glorot", "rnn_orthogonal", "lstm"):
        assert ratios[f"{name}, deviation 1"] < 1e-3
    assert 0.01 < ratios["lstm_open, deviation 1"] < 100
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert picture.shape == (400, 1400, 3) and picture.std() > 5


def test_scales_act_on_the_recurrent_matrix():
    for name, scale in {"rnn_smaller": 0.8, "rnn_orthogonal": 1.0, "rnn_larger": 1.3}.items():
        matrix = gradients_over_time.build(name, 5, 0).get_layer("rnn0").get_weights()[1]
        assert np.linalg.svd(matrix)[1] == pytest.approx(np.full(32, scale), rel=1e-4)
