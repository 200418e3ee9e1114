"""The shipped configs of the small memory tasks solve them, well above their baselines, in some seconds."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from tfdlcv.config import load_config
from tfdlcv.data import music
from tfdlcv.models.skip_gram import analogy, nearest
from tfdlcv.training import resuming, run

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


def sentences_of_stems_and_forms(count, seed):
    """Eight stems with four forms each: the words around one depend on its stem and on its form."""
    random = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        stem, form = random.integers(8), random.integers(4)
        around = [f"topic{stem}{random.integers(3)}" for _ in range(2)]
        around += [f"manner{form}{random.integers(3)}" for _ in range(2)]
        random.shuffle(around)
        lines.append(" ".join([*around[:2], f"word{stem}{form}", *around[2:]]))
    return "\n".join(lines)


def test_word_vectors_solve_analogies(tmp_path):
    for seed, (name, count) in enumerate({"train": 6000, "valid": 100, "test": 100}.items()):
        (tmp_path / f"{name}.txt").write_text(sentences_of_stems_and_forms(count, seed))
    overrides = [
        FAST[0],
        f"trainer.run_dir={tmp_path}/run",
        f"data={{name: files, folder: {tmp_path}, min_count: 1}}",
        "model={name: skip_gram, dimensions: 24, window: 2, subsampling: null}",
        "optimizer.learning_rate=0.01",
        "trainer.epochs=2",
    ]
    run.train(load_config(CONFIGS / "skip_gram_sklearn.yaml", overrides))
    _, _, _, task, facts = resuming.load_run(tmp_path / "run")
    number = {word: index for index, word in enumerate(facts["vocabulary"])}
    vectors = np.asarray(task.network.get_layer("vectors").embeddings)
    right = [
        analogy(vectors, *(number[f"word{pair}"] for pair in (a + f, a + g, b + f)))[0][0] == number[f"word{b}{g}"]
        for a, b in itertools.permutations("01234567", 2)
        for f, g in itertools.permutations("0123", 2)
    ]
    assert len(right) == 672 and np.mean(right) > 0.95  # By chance: 1 in 65.
    # Of the 32 words, the nearest to each shares its stem or its form.
    words = [f"word{stem}{form}" for stem in "01234567" for form in "0123"]
    among = vectors[[number[word] for word in words]]
    found, _ = nearest(among, among, 1, leave_out=[[index] for index in range(32)])
    for word, (index,) in zip(words, found, strict=True):
        assert words[index][-2] == word[-2] or words[index][-1] == word[-1]
