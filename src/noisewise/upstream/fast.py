"""Fast inference of Res8 and Res15 on CPUs with AVX-512 BF16: the same network, lower precision.

The batch norms are folded into the convolutions (see `noisewise.upstream.folding`), activations
stay in channels-last order, and clips run in small groups of equal length, so that there is
nothing to mask and activations stay near the cache.
"""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.features import LogMel
from noisewise.masking import average_pool
from noisewise.seeding import rng
from noisewise.types import SAMPLE_RATE, Frames, Waves
from noisewise.upstream.folding import fold
from noisewise.upstream.res import ResEncoder

Precision = Literal["int8", "bf16"]

_LOG = logging.getLogger(__name__)
_GROUP = 8  # clips at a time
_MIN_COSINE = 0.999


def accelerate(encoder: nn.Module, precision: Precision = "bf16") -> nn.Module:
    """A faster encoder for inference on this CPU, or ``encoder`` itself where there is none.

    The result holds a copy of the weights as they are now. It is compared with ``encoder`` on
    generated sounds: where some embedding's cosine is below 0.999 the next higher precision is
    taken, and in the end ``encoder``. Silent clips, training, calls with gradients enabled (use
    `torch.no_grad`) and other devices go through ``encoder``.

    Args:
        encoder: Res8 or Res15; anything else is returned as it is.
        precision: "bf16" keeps cosines above 0.9999; "int8" is faster still, at typically 0.9998;
            it is for Res15.
    """
    if not isinstance(encoder, ResEncoder):
        return encoder
    for candidate in ("int8", "bf16") if precision == "int8" else ("bf16",):
        if cpu_runs(candidate):
            try:
                fast = FastRes(encoder, integer=candidate == "int8")
                cosine = _agreement(encoder, fast)
            except (RuntimeError, AttributeError, TypeError) as error:  # another torch's operators
                _LOG.info("%s inference is not available here: %s", candidate, error)
                continue
            if cosine >= _MIN_COSINE:
                return fast
            _LOG.info("%s inference not used: cosine %.5f", candidate, cosine)
    return encoder


def cpu_runs(precision: Precision) -> bool:
    """Whether this CPU and build of torch have the instructions that the fast path was tested on.

    bf16 needs AVX512_BF16, int8 also AVX512_VNNI.
    """
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    needed = ["avx512_bf16", "avx512_vnni"][: 2 if precision == "int8" else 1]
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and all(capabilities.get(name) for name in needed)
    )


class FastRes(nn.Module):
    """See `accelerate`, which makes it."""

    def __init__(self, encoder: ResEncoder, integer: bool) -> None:
        super().__init__()
        self.encoder, self.dim = encoder, encoder.dim
        self._folded = fold(encoder, integer)
        some = any(layer.integer for layer in self._folded.layers)
        self.precision: Precision = "int8" if some else "bf16"

    @property
    def mels(self) -> int:
        """Mel bands of the input."""
        return self.encoder.mels

    def forward(self, features: Tensor, lengths: Tensor) -> Frames:
        """As the encoder's own forward."""
        if self.training or torch.is_grad_enabled() or features.device.type != "cpu":
            frames: Frames = self.encoder(features, lengths)
            return frames
        with torch.autocast("cpu", enabled=False):
            return self._run(features.float(), lengths)

    def _run(self, features: Tensor, lengths: Tensor) -> Frames:
        # Features have unit variance; a clip without any gives every rounding error its own sign.
        flat = features.flatten(1).abs().amax(1) < 0.5
        parts: list[tuple[Tensor, Frames]] = []
        for length in sorted(set(lengths.tolist())):
            same = lengths == length
            for number in (same & ~flat).nonzero()[:, 0].split(_GROUP):
                if len(number):
                    parts.append((number, self._equal(features[number, :, :length])))
            number = (same & flat).nonzero()[:, 0]
            if len(number):
                parts.append((number, self.encoder(features[number, :, :length], lengths[number])))
        counts = torch.zeros_like(lengths)
        values = torch.zeros(1, len(lengths), max(p.values.shape[2] for _, p in parts), self.dim)
        for number, part in parts:
            counts[number] = part.lengths
            values[:, number, : part.values.shape[2]] = part.values
        return Frames(values, counts)

    def _equal(self, features: Tensor) -> Frames:
        """Frames of clips of one length, (clips, mels, frames)."""
        high = features.bfloat16()
        low = (features - high.float()).bfloat16()  # two input maps lose nothing of the features
        layers = self._folded.layers
        x = layers[0](torch.stack([high, low], dim=-1).permute(0, 3, 1, 2))
        lengths = torch.full((len(features),), features.shape[2])
        x, lengths = average_pool(x, lengths, self.encoder.pool)
        x = old = x.contiguous(memory_format=torch.channels_last)
        for i, layer in enumerate(layers[1:], start=1):
            x = layer(x)
            if i % 2 == 0:
                x = old = x.add_(old)
        clips, maps, mels, frames = x.shape
        rows = x.float().permute(0, 2, 3, 1).reshape(clips, mels, frames * maps)
        mean = (torch.full((1, mels), 1 / mels) @ rows).view(clips, frames, maps)[..., : self.dim]
        return Frames(((mean - self._folded.shift) * self._folded.scale)[None], lengths)


def _probe(mels: int) -> tuple[Tensor, Tensor]:
    """Features of generated sounds: chirp, gated noise, harmonics in noise, half silence."""
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    draw = rng(0, "fast inference probe")
    noise = draw.standard_normal((3, SAMPLE_RATE))
    harmonics = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20))
    clips = [
        0.5 * np.sin(2 * np.pi * (200 * time + 1500 * time**2)),
        0.1 * noise[0] * (np.sin(2 * np.pi * 5 * time) > 0),
        0.1 * (harmonics * np.sin(np.pi * 3 * time) ** 2 + noise[1]),
        0.1 * noise[2] * (time < 0.4),
    ]
    waves = Waves.collate([clip.astype(np.float32) for clip in clips])
    features, lengths = LogMel(mels)(waves)
    return features, lengths


@torch.no_grad()
def _agreement(encoder: ResEncoder, fast: FastRes) -> float:
    """Lowest cosine between the two encoders' embeddings of the probe."""
    features, lengths = _probe(encoder.mels)
    modes = encoder.training
    encoder.eval()
    fast.eval()
    wanted, got = (net(features, lengths).values[0].mean(1) for net in (encoder, fast))
    encoder.train(modes)
    return float(F.cosine_similarity(wanted, got).min())
