from __future__ import annotations

import numpy as np
import pytest

from noisewise.errors import ConfigError
from noisewise.evaluation.projector import flatten, write_projector
from noisewise.seeding import rng


def groups(points: int, size: int = 3, dim: int = 8) -> tuple[np.ndarray, np.ndarray]:
    random = rng(0, "groups")
    own = np.arange(points) % size
    return random.normal(size=(size, dim))[own] * 5 + random.normal(size=(points, dim)), own


def test_principal_components_keep_two_dimensions_as_they_are():
    places = rng(0, "flat").normal(size=(20, 2))
    turned = np.linalg.qr(rng(1, "turn").normal(size=(6, 6)))[0][:2]
    found = flatten(places @ turned, method="pca")
    between = np.linalg.norm(places[:, None] - places[None], axis=2)
    assert np.linalg.norm(found[:, None] - found[None], axis=2) == pytest.approx(between)


def test_tsne_keeps_groups_together_and_is_repeatable():
    points, own = groups(90)
    places = flatten(points, seed=3)
    assert np.array_equal(places, flatten(points, seed=3))
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (own[distance.argmin(1)] == own).mean() > 0.95


@pytest.mark.parametrize("shape", [(1, 1), (1, 45), (2, 1), (3, 7), (4, 2), (60, 1), (60, 2)])
@pytest.mark.parametrize("method", ["auto", "pca", "tsne"])
def test_small_inputs(shape, method):
    places = flatten(rng(0, "small").normal(size=shape), method=method)
    assert places.shape == (shape[0], 2)
    assert np.isfinite(places).all()


def test_equal_points():
    assert np.array_equal(flatten(np.ones((60, 4), np.float32)), np.zeros((60, 2)))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros(3), r"\(points, dim\), got shape \(3,\)"),
        (np.zeros((0, 3)), r"got shape \(0, 3\)"),
        (np.array([[1.0, np.nan]]), "must be finite"),
    ],
)
def test_unusable_embeddings(points, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        flatten(points)
    with pytest.raises(ConfigError, match=message):
        write_projector(tmp_path, points, {})


def test_unknown_method():
    with pytest.raises(ConfigError, match="'umap', expected auto, pca or tsne"):
        flatten(np.zeros((3, 3)), method="umap")


def test_files(tmp_path):
    points = np.array([[0.1, -0.0], [1e-7, 3.0]], np.float32)
    write_projector(tmp_path / "p", points, {"label": ["a\tb\n", "ü"], "clip": [1, 2]})
    folder = tmp_path / "p"
    assert (folder / "metadata.tsv").read_text("utf-8") == "label\tclip\na b\t1\nü\t2\n"
    vectors = np.loadtxt(folder / "vectors.tsv", delimiter="\t")
    assert vectors == pytest.approx(points)
    config = (folder / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "vectors.tsv"' in config
    assert 'metadata_path: "metadata.tsv"' in config
    assert "tensorboard --logdir" in (folder / "README.txt").read_text()
    assert len(list(folder.iterdir())) == 4


def test_one_column_has_no_header(tmp_path):
    write_projector(tmp_path, np.eye(2), {"label": ["a", "b"]})
    assert (tmp_path / "metadata.tsv").read_text() == "a\nb\n"


def test_no_columns(tmp_path):
    write_projector(tmp_path, np.eye(2), {})
    assert "metadata_path" not in (tmp_path / "projector_config.pbtxt").read_text()


def test_tensorboard_reads_the_config(tmp_path):
    plugin = pytest.importorskip("tensorboard.plugins.projector")
    text_format = pytest.importorskip("google.protobuf.text_format")
    write_projector(tmp_path, np.eye(2), {"label": ["a", "b"]})
    config = plugin.ProjectorConfig()
    text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), config)
    assert config.embeddings[0].tensor_path == "vectors.tsv"


@pytest.mark.parametrize(
    ("columns", "message"),
    [({"label": ["a"]}, "'label' has 1 values for 2 points"), ({" ": ["a", "b"]}, "has no name")],
)
def test_bad_columns(tmp_path, columns, message):
    with pytest.raises(ConfigError, match=message):
        write_projector(tmp_path, np.eye(2), columns)
