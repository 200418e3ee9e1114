"""The shipped configs of the small memory tasks solve them, well above their baselines, in some seconds."""

from pathlib import Path

import numpy as np
import pytest

from tfdlcv.config import load_config
from tfdlcv.data import music
from tfdlcv.training import run

CONFIGS = Path(__file__).parents[3] / "configs" / "sequence"
FAST = ("trainer.tensorboard.pictures_every_epochs=0", "data.test_examples=200", "data.validation_examples=200")


def train(name, run_dir, *overrides):
    return run.train(load_config(CONFIGS / f"{name}.yaml", [*FAST, f"trainer.run_dir={run_dir}", *overrides]))


def test_copy_memory_of_50_is_solved(tmp_path):
    results = train("tcn_copy_memory_50", tmp_path / "run")
    assert results["test"]["accuracy"] > 0.99
    assert results["test"]["loss"] < 0.01 * 0.297  # 10 ln 8 / 70


def test_adding_of_50_is_solved(tmp_path):
    results = train("tcn_adding_50", tmp_path / "run", "trainer.epochs=3")
    assert results["test"]["loss"] < 0.03 / 6


def test_generated_music_is_predicted_better_than_by_the_keys_frequencies(tmp_path):
    config = load_config(CONFIGS / "tcn_music_generated.yaml")
    results = run.train(load_config(CONFIGS / "tcn_music_generated.yaml", [FAST[0], f"trainer.run_dir={tmp_path}/run"]))
    splits = music.build(config.data)
    rolls = {part: splits[part].fetch(np.arange(40))["targets"].numpy() for part in ("train", "test")}
    share = np.clip(rolls["train"].mean(axis=(0, 1)), 1e-4, 1 - 1e-4)
    baseline = -(rolls["test"] * np.log(share) + (1 - rolls["test"]) * np.log(1 - share)).sum(axis=-1).mean()
    assert results["test"]["nll"] == pytest.approx(results["test"]["loss"], rel=1e-3)
    assert results["test"]["nll"] < 0.8 * baseline
