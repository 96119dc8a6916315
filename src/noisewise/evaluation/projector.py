"""Embeddings for the eye: two dimensions for a plot, files for TensorBoard's projector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from noisewise.errors import ConfigError
from noisewise.files import write_atomic
from noisewise.seeding import derive

TSNE_FROM = 50
"""Fewer points than this are mapped by their two principal components."""

README = """\
Embeddings for TensorBoard's projector, a view of them in three dimensions.

    pip install tensorboard
    tensorboard --logdir .

Run it in this folder and choose "Projector" in the menu on the right. Or load vectors.tsv and
metadata.tsv into any copy of the standalone Embedding Projector.
"""


def flatten(embeddings: np.ndarray, seed: int = 0, method: str = "auto") -> np.ndarray:
    """Places of (points, dim) embeddings on a map, (points, 2), the same for the same seed.

    Principal components keep distances between groups honest; t-SNE (van der Maaten and Hinton,
    2008, from the 50 first principal components) separates many groups better, but its
    distances between groups mean nothing.

    Args:
        embeddings: finite, (points, dim).
        seed: of t-SNE.
        method: "pca", "tsne" (at least 4 points), or "auto" for t-SNE from 50 points on.

    Raises:
        ConfigError: an array of another shape, not finite, or an unknown method.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    points = _checked(embeddings).astype(np.float64)
    if method not in ("auto", "pca", "tsne"):
        raise ConfigError(f"map method is {method!r}, expected auto, pca or tsne")
    if method == "auto":
        method = "tsne" if len(points) >= TSNE_FROM else "pca"
    wanted = 2 if method == "pca" else 50
    size = min(wanted, *points.shape)
    # sums over several threads round differently from run to run, and t-SNE amplifies that
    with threadpool_limits(1):
        if np.ptp(points, axis=0).any():
            points = PCA(size, svd_solver="full").fit_transform(points)
        else:
            points = np.zeros((len(points), size))
        points = np.pad(points, ((0, 0), (0, max(0, 2 - size))))
        if method == "tsne" and len(points) > 3 and points.any():
            state = derive(seed, "tsne") % 2**32
            perplexity = min(30.0, (len(points) - 1) / 3)
            tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=state)
            points = tsne.fit_transform(points)
    return np.asarray(points[:, :2], dtype=np.float64)


def write_projector(
    folder: Path | str, embeddings: np.ndarray, columns: Mapping[str, Sequence[object]]
) -> None:
    """Write ``vectors.tsv``, ``metadata.tsv``, ``projector_config.pbtxt`` and a README.

    Args:
        folder: made if need be; files of an earlier export are replaced.
        embeddings: finite, (points, dim).
        columns: name -> one value a point, for instance the label, the speaker, the clip.

    Raises:
        ConfigError: embeddings that are not finite or not (points, dim), a column of another
            length, or a column without a name.
    """
    points = _checked(embeddings)
    for name, values in columns.items():
        if not _cell(name):
            raise ConfigError("projector metadata: a column has no name")
        if len(values) != len(points):
            raise ConfigError(
                f"projector metadata {name!r} has {len(values)} values for {len(points)} points"
            )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vectors = ["\t".join(f"{x + 0.0:.6g}" for x in row) for row in points.tolist()]
    rows = ["\t".join(map(_cell, row)) for row in zip(*columns.values(), strict=True)]
    config = ['embeddings {\n  tensor_name: "embeddings"\n  tensor_path: "vectors.tsv"']
    if columns:
        # the format has a header line only where there are two columns or more
        header = ["\t".join(map(_cell, columns))] if len(columns) > 1 else []
        _write(folder / "metadata.tsv", [*header, *rows])
        config.append('  metadata_path: "metadata.tsv"')
    _write(folder / "vectors.tsv", vectors)
    _write(folder / "projector_config.pbtxt", [*config, "}"])
    write_atomic(folder / "README.txt", README.encode())


def _checked(embeddings: np.ndarray) -> np.ndarray:
    points = np.asarray(embeddings)
    if points.ndim != 2 or 0 in points.shape:
        raise ConfigError(f"embeddings must be (points, dim), got shape {points.shape}")
    if not np.isfinite(points).all():
        raise ConfigError("embeddings must be finite, got NaN or infinite values")
    return points


def _cell(value: object) -> str:
    """A value on one line and in one column, whatever is in it."""
    return " ".join(str(value).split())


def _write(path: Path, lines: Sequence[str]) -> None:
    write_atomic(path, ("\n".join(lines) + "\n").encode("utf-8", "replace"))
