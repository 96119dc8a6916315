"""k-means units: codes for upstreams that have no quantiser of their own (HuBERT, log-mel ...)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import faiss
import numpy as np
import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.types import Frames, Waves


def fit_units(frames: np.ndarray, units: int, seed: int = 0, iterations: int = 25) -> np.ndarray:
    """Centroids (units, dim) float32 of (frames, dim), by k-means (faiss) with squared distances.

    Raises:
        ConfigError: fewer frames than units, or frames that are not finite.
    """
    frames = np.ascontiguousarray(frames, dtype=np.float32)
    if not 1 <= units <= len(frames):
        raise ConfigError(f"{units} units need at least as many frames, got {len(frames)}")
    if not np.isfinite(frames).all():
        raise ConfigError("frames for k-means units hold values that are not finite")
    means = faiss.Kmeans(
        frames.shape[1], units, niter=iterations, seed=seed, min_points_per_centroid=1,
        max_points_per_centroid=1 << 30,
    )  # fmt: skip
    means.train(frames)
    return np.asarray(means.centroids)


def linear_units(frames: np.ndarray, units: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """k-means units of frames of mean 0 and deviation 1, as scores of the frames as they are.

    The nearest centroid is the largest of ``frames @ weight.T + bias``.

    Args:
        frames: (frames, dim).
        units: number of units.
        seed: of k-means.

    Returns:
        Weight (units, dim) and bias (units,), float32.

    Raises:
        ConfigError: see `fit_units`.
    """
    frames = np.asarray(frames, dtype=np.float32)
    mean, deviation = frames.mean(0), frames.std(0) + 1e-5
    centroids = torch.from_numpy(fit_units((frames - mean) / deviation, units, seed))
    weight = 2 * centroids / torch.from_numpy(deviation)
    bias = -centroids.square().sum(1) - weight @ torch.from_numpy(mean)
    return weight, bias


@torch.no_grad()
def some_frames(
    upstream: nn.Module,
    batches: Iterable[Waves],
    layers: Sequence[int],
    seed: int = 0,
    at_most: int = 200_000,
) -> list[np.ndarray]:
    """Frames to cluster: (frames, dim) float32 of each layer; of more than ``at_most``, a sample.

    Args:
        upstream: module from waves to frames, in evaluation mode, with an attribute ``dim``.
        batches: clips.
        layers: places of the layers in the upstream's frames.
        seed: of the sample.
        at_most: frames of a layer.
    """
    parts: list[list[np.ndarray]] = [[np.zeros((0, upstream.dim), np.float32)] for _ in layers]  # type: ignore[arg-type]
    for waves in batches:
        frames = upstream(waves)
        mask = frames.mask()
        for rows, layer in zip(parts, layers, strict=True):
            rows.append(frames.values[layer][mask].float().cpu().numpy())
    found = [np.concatenate(rows) for rows in parts]
    if found and len(found[0]) > at_most:
        picked = np.random.default_rng(seed).choice(len(found[0]), at_most, replace=False)
        found = [frames[np.sort(picked)] for frames in found]
    return found


class Units(nn.Module):
    """Nearest centroid of each frame.

    Args:
        units: number of centroids.
        dim: size of the frames.
    """

    centroids: Tensor

    def __init__(self, units: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("centroids", torch.full((units, dim), torch.nan))

    def forward(self, values: Tensor) -> Tensor:
        """(batch, frames, dim) -> (batch, frames, 1) int64."""
        flat = values.flatten(0, 1).float()
        # in 16 bits a code would depend on rounding
        with torch.autocast(values.device.type, enabled=False):
            # |x|^2 is the same for all centroids
            distance = self.centroids.square().sum(1) - 2 * flat @ self.centroids.T
        return distance.argmin(1).view(*values.shape[:2], 1)


class UnitUpstream(nn.Module):
    """Any upstream with the k-means units of one of its layers as codes.

    Args:
        upstream: module from `Waves` to `Frames`, with an attribute ``dim``.
        units: number of units, also the only one of ``code_sizes``; their centroids come from
            `fit` or a state dict.
        layer: number, in the upstream's frames, of the layer that is clustered.
    """

    def __init__(self, upstream: nn.Module, units: int, layer: int = -1) -> None:
        super().__init__()
        self.upstream, self.layer = upstream, layer
        self.dim = int(upstream.dim)  # type: ignore[arg-type]
        self.units = Units(units, self.dim)
        self.code_sizes = (units,)

    def fit(self, batches: Iterable[Waves], seed: int = 0, at_most: int = 200_000) -> UnitUpstream:
        """Cluster the frames of ``batches``; of more than ``at_most``, a seeded sample.

        Raises:
            ConfigError: see `fit_units`.
        """
        (frames,) = some_frames(self.upstream, batches, [self.layer], seed, at_most)
        centroids = fit_units(frames, len(self.units.centroids), seed)
        self.units.centroids.copy_(torch.from_numpy(centroids))
        return self

    def forward(self, waves: Waves) -> Frames:
        """The upstream's frames, with codes (batch, frames, 1)."""
        frames: Frames = self.upstream(waves)
        with torch.no_grad():
            codes = self.units(frames.values[self.layer]) * frames.mask()[:, :, None]
        return Frames(frames.values, frames.lengths, codes)
