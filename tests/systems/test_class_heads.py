import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter

from tfdlcv import losses
from tfdlcv.errors import UserError
from tfdlcv.ops import class_semantics, prototypes
from tfdlcv.systems import class_heads

NAMES = ("cat", "dog", "oak", "pine")
ADAPTER = TypeAdapter(class_heads.ClassLossConfig)


def head(config, class_names=NAMES):
    """-> config, prototypes, head."""
    config = ADAPTER.validate_python(config)
    points = class_heads.class_prototypes(config, class_names)
    built = class_heads.build_class_head(config, len(class_names), None if points is None else points.tolist())
    return config, points, built


@pytest.fixture
def files(tmp_path):
    (tmp_path / "vectors.txt").write_text("cat 2 0 0\ndog 1 1 0\noak 0 0 5\npine 0 1 3\n")
    (tmp_path / "groups.csv").write_text("cat,animal\ndog,animal\noak,tree\npine,tree\n")
    return tmp_path


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_dimensions_and_prototypes_of_each_choice(files):
    expected = {
        "prototypes": (3, prototypes.separate(4, 3)),
        "one_hot": (4, np.eye(4)),
        "word_vectors": (3, [[1, 0, 0], [0.5**0.5, 0.5**0.5, 0], [0, 0, 1], [0, 0.1**0.5, 0.9**0.5]]),
        "softmax": (4, None),
        "maximum_separation": (3, prototypes.simplex(4)),
        "cosface": (5, None),
        "arcface": (5, None),
    }
    options = {
        "prototypes": {"dimensions": 3},
        "word_vectors": {"file": str(files / "vectors.txt")},
        "cosface": {"dimensions": 5, "scale": 10.0, "margin": 0.1},
        "arcface": {"dimensions": 5, "scale": 10.0, "margin": 0.1},
    }
    for name, (dimensions, points) in expected.items():
        config, found, built = head({"name": name, **options.get(name, {})})
        assert built.dimensions == dimensions, name
        assert (found is None) == (points is None), name
        if points is not None:
            np.testing.assert_allclose(found, points, atol=1e-6, err_msg=name)
        embeddings = np.random.default_rng(0).standard_normal((6, dimensions)).astype("float32")
        scores = built.score(tf.constant(embeddings))
        assert scores.shape == (6, 4)
        values = built.loss(tf.constant([0, 1, 2, 3, 0, 1]), scores)
        assert values.shape == (6,) and np.isfinite(values).all()
        assert np.abs(scores).max() <= 1.0001 or class_heads.confidence(config) == "probability"


def test_the_loss_of_prototypes_is_the_public_one():
    _, points, built = head({"name": "prototypes", "dimensions": 2})
    z, ids = np.random.default_rng(0).standard_normal((9, 2)).astype("float32"), np.arange(9) % 4
    public = losses.HypersphericalPrototypeLoss(points).call(ids, z)
    np.testing.assert_allclose(built.loss(ids, built.score(tf.constant(z))), public, rtol=1e-5)


def test_label_smoothing_is_keras_own():
    _, _, built = head({"name": "softmax", "label_smoothing": 0.2})
    logits, ids = np.random.default_rng(0).standard_normal((5, 4)).astype("float32"), np.array([0, 3, 2, 1, 1])
    expected = keras.losses.categorical_crossentropy(np.eye(4)[ids], logits, from_logits=True, label_smoothing=0.2)
    np.testing.assert_allclose(built.loss(ids, logits), expected, rtol=1e-5)


def test_maximum_separation_scales_its_logits():
    z = tf.constant(np.random.default_rng(0).standard_normal((5, 3)).astype("float32"))
    one, tenth = (head({"name": "maximum_separation", "scale": scale})[2].score(z) for scale in (1.0, 0.1))
    np.testing.assert_allclose(tenth, 0.1 * one, rtol=1e-5)


@pytest.mark.parametrize("kind, file", [("word_vectors", "vectors.txt"), ("hierarchy", "groups.csv")])
def test_semantics_bring_similar_classes_together(files, kind, file):
    semantics = {"name": kind, "file": str(files / file)}
    _, points, _ = head({"name": "prototypes", "dimensions": 3, "semantics": semantics, "semantics_weight": 0.5})
    cosines = points @ points.T
    assert min(cosines[0, 1], cosines[2, 3]) > max(cosines[0, 2], cosines[0, 3], cosines[1, 2], cosines[1, 3])
    if kind == "word_vectors":
        similarity = class_semantics.vector_similarity([[2, 0, 0], [1, 1, 0], [0, 0, 5], [0, 1, 3]])
    else:
        similarity = class_semantics.hierarchy_similarity([("animal",), ("animal",), ("tree",), ("tree",)])
    assert class_semantics.rank_correlation(points, similarity) > 0.6


def test_the_method_and_seed_reach_the_optimiser():
    with pytest.warns(UserWarning, match="coincide"):
        _, published, _ = head({"name": "prototypes", "dimensions": 2, "method": "paper"}, tuple("abcdefghij"))
    assert prototypes.max_cosine(published) > 0.9999
    seeds = [head({"name": "prototypes", "dimensions": 3, "method": "annealed", "seed": s})[1] for s in (0, 1)]
    assert not np.allclose(*seeds)


def test_faults_name_the_field(files):
    with pytest.raises(UserError, match=r"loss.dimensions \(1\) and 4 classes: dimensions \(1\) must be at least 2"):
        head({"name": "prototypes", "dimensions": 1})
    with pytest.raises(UserError, match="vectors.txt has no vector for 1 of 2 classes: horse"):
        head({"name": "word_vectors", "file": str(files / "vectors.txt")}, ("cat", "horse"))
    semantics = {"name": "hierarchy", "file": str(files / "groups.csv")}
    with pytest.raises(UserError, match="groups.csv lacks 1 of 2 classes: horse"):
        head({"name": "prototypes", "dimensions": 2, "semantics": semantics}, ("cat", "horse"))
