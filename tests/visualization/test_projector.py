import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig

from tfdlcv.visualization.projector import write_projector

EMBEDDINGS = np.array([[1.0, 2.0], [0.25, -1e-7], [3.0, 4.0]])


def read_config(folder):
    return text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig()).embeddings[0]


def test_everything_that_tensorboard_asks_for(tmp_path):
    images = [np.full((8, 8, 1), value, np.uint8) for value in (0, 100, 200)]
    write_projector(tmp_path, EMBEDDINGS, {"class": ["a", "b", "a"], "angle": [1, 2, 3]}, images)
    config = read_config(tmp_path)
    np.testing.assert_allclose(np.loadtxt(tmp_path / config.tensor_path, delimiter="\t"), EMBEDDINGS)
    assert (tmp_path / config.metadata_path).read_text() == "class\tangle\na\t1\nb\t2\na\t3\n"
    sprite = np.asarray(Image.open(tmp_path / config.sprite.image_path))
    side = config.sprite.single_image_dim[0]
    assert sprite.shape == (2 * side, 2 * side, 3)
    assert [sprite[0, 0, 0], sprite[0, side, 0], sprite[side, 0, 0]] == [0, 100, 200]


def test_one_column_has_no_title_and_none_no_file(tmp_path):
    write_projector(tmp_path / "one", EMBEDDINGS, {"class": ["a", "b", "a"]})
    assert (tmp_path / "one" / "embeddings_metadata.tsv").read_text() == "a\nb\na\n"
    write_projector(tmp_path / "none", EMBEDDINGS, {})
    assert not read_config(tmp_path / "none").metadata_path


def test_errors(tmp_path):
    with pytest.raises(ValueError, match=r"column 'class' \(2 values\) must be as long as embeddings \(3\)"):
        write_projector(tmp_path, EMBEDDINGS, {"class": ["a", "b"]})
    with pytest.raises(ValueError, match=r"images \(1\) must be as many as embeddings \(3\), or none"):
        write_projector(tmp_path, EMBEDDINGS, {}, [np.zeros((2, 2, 1), np.uint8)])
    with pytest.raises(ValueError, match=r"images \(65537\) must be at most 65536"):
        write_projector(tmp_path, np.zeros((65537, 2)), {}, [np.zeros((2, 2, 1), np.uint8)] * 65537)
