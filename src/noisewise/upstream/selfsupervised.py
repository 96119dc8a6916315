"""Self-supervised upstreams of transformers: wav2vec 2.0, XLS-R, HuBERT, WavLM, data2vec-audio."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.types import Frames, Waves, length_mask
from noisewise.upstream.architecture import build_network, family_of, reduced
from noisewise.upstream.equal_lengths import in_equal_lengths
from noisewise.upstream.pretrained import read_pretrained

Batching = Literal["auto", "equal", "masked"]


class SelfSupervisedUpstream(nn.Module):
    """Waves -> hidden states, and the model's own codes where it has a quantiser.

    Give either a model to read or an architecture; `spec` is what a run folder stores, so that a
    run opens without the model it started from.

    Args:
        model: folder in the hub's layout, or a hub id.
        revision: branch, tag or commit of a hub id.
        architecture: ``model_type`` and its values, for weights that come from elsewhere.
        quantiser: whether an ``architecture`` has the projection that gives codes.
        normalise: scale each clip to zero mean and unit variance; None does as the model says.
        layers: hidden states to give, 0 being the input of the first block; None gives all. The
            blocks beyond the deepest are not run, and not even kept.
        mean: average those layers into one.
        batching: "equal" runs clips of exactly one length together, "masked" pads; "auto" pads
            where that leaves every frame as it is and saves time. Group-norm feature extractors
            and data2vec give other frames under padding, mask or not, so "masked" is refused.

    Raises:
        BundleError, ConfigError: see `read_pretrained`; layers or a batching that the model
            does not have.
    """

    def __init__(
        self,
        model: str | None = None,
        revision: str | None = None,
        architecture: dict[str, Any] | None = None,
        quantiser: bool = False,
        normalise: bool | None = None,
        layers: list[int] | None = None,
        mean: bool = True,
        batching: Batching = "auto",
    ) -> None:
        super().__init__()
        if (model is None) == (architecture is None):
            raise ConfigError("give either a model to read or an architecture")
        projection = None
        if model is not None:
            read = read_pretrained(model, revision)
            self.architecture, self.network = read.architecture, read.network
            projection, normalise = (
                read.quantiser,
                read.normalise if normalise is None else normalise,
            )
        else:
            self.architecture = reduced(architecture or {})
            self.network = build_network(self.architecture)
        self.normalise = normalise is not False
        config: Any = self.network.config
        self.dim = int(config.hidden_size)
        self.codes = (int(config.num_codevector_groups), int(config.num_codevectors_per_group)) if (
            projection is not None or quantiser
        ) else None  # fmt: skip
        self.quantiser: nn.Linear | None = None
        if self.codes is not None:
            self.quantiser = nn.Linear(config.conv_dim[-1], self.codes[0] * self.codes[1])
        if self.quantiser is not None and projection is not None:
            self.quantiser.load_state_dict({"weight": projection[0], "bias": projection[1]})
        blocks = int(config.num_hidden_layers)
        self.layers = list(range(blocks + 1)) if layers is None else list(layers)
        if not self.layers or not set(self.layers) <= set(range(blocks + 1)):
            raise ConfigError(f"layers {self.layers} must be some of 0 to {blocks}")
        self.mean = mean
        # pre-norm models end with a norm, which belongs to the last hidden state alone
        self._final_norm = bool(getattr(config, "do_stable_layer_norm", False))
        deepest = max(1, *self.layers)
        if deepest < blocks:
            encoder: Any = self.network.encoder
            encoder.layers = encoder.layers[:deepest]
            if self._final_norm:
                encoder.layer_norm = nn.Identity()
        exact = family_of(self.architecture).maskable and config.feat_extract_norm == "layer"
        if batching not in ("auto", "equal", "masked"):
            raise ConfigError(f"unknown batching {batching!r}; known: auto, equal, masked")
        if batching == "masked" and not exact:
            raise ConfigError("batching 'masked' would change the frames of this model")
        self.batching, self._maskable = batching, exact
        self._kernels = list(zip(config.conv_kernel, config.conv_stride, strict=True))

    @property
    def spec(self) -> dict[str, Any]:
        """Options that rebuild this module without its weights."""
        return {
            "architecture": self.architecture,
            "quantiser": self.quantiser is not None,
            "normalise": self.normalise,
            "layers": self.layers,
            "mean": self.mean,
            "batching": self.batching,
        }

    @property
    def depth(self) -> int:
        """How many layers `forward` gives."""
        return 1 if self.mean else len(self.layers)

    @property
    def code_sizes(self) -> tuple[int, ...] | None:
        """Number of codes in each group, None where the model has no quantiser."""
        return None if self.codes is None else (self.codes[1],) * self.codes[0]

    @property
    def shortest(self) -> int:
        """Samples that one frame needs; shorter clips are followed by zeros up to it."""
        samples = 1
        for kernel, stride in reversed(self._kernels):
            samples = (samples - 1) * stride + kernel
        return samples

    def frame_counts(self, samples: Tensor) -> Tensor:
        """Frames of clips of so many samples, (batch,) -> (batch,)."""
        counts = samples.clamp(min=self.shortest)
        for kernel, stride in self._kernels:
            counts = (counts - kernel).div(stride, rounding_mode="floor") + 1
        return counts

    def forward(self, waves: Waves) -> Frames:
        """Frames with values (layers, or 1 for their mean, batch, frames, dim)."""
        device = waves.samples.device
        if self.batching == "masked" or (
            self.batching == "auto" and self._maskable and device.type != "cpu"
        ):
            return self._masked(waves)
        # on CPUs one by one is as fast as any batch, and needs the least memory
        return in_equal_lengths(self._equal, waves, at_most=1 if device.type == "cpu" else 64)

    def _equal(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._run(self._prepared(samples, None), None)

    def _masked(self, waves: Waves) -> Frames:
        samples = self._prepared(waves.samples, waves.lengths)
        counts = self.frame_counts(waves.lengths)
        mask = length_mask(waves.lengths.clamp(min=self.shortest), samples.shape[1])
        values, codes = self._run(samples, mask)
        own = length_mask(counts, values.shape[2])
        values = values * own[None, :, :, None]
        return Frames(values, counts, None if codes is None else codes * own[:, :, None])

    def _prepared(self, samples: Tensor, lengths: Tensor | None) -> Tensor:
        """Clips scaled where the model wants it, then long enough for a frame."""
        if self.normalise:
            own = None if lengths is None else length_mask(lengths, samples.shape[1])
            n = samples.shape[1] if lengths is None else lengths[:, None]
            centred = samples - samples.sum(1, keepdim=True) / n
            if own is not None:
                centred = centred * own
            samples = centred / (centred.square().sum(1, keepdim=True) / n + 1e-7).sqrt()
        return nn.functional.pad(samples, (0, max(0, self.shortest - samples.shape[1])))

    def _run(self, samples: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, samples) -> (layers, batch, frames, dim) and (batch, frames, groups)."""
        network: Any = self.network
        states: dict[int, Tensor] = {}
        features: list[Tensor] = []
        wanted = set(self.layers)

        def keep(number: int) -> Any:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if number in wanted:
                    states[number] = output[0] if isinstance(output, tuple) else output

            return hook

        def keep_first(module: nn.Module, inputs: Any) -> None:
            if 0 in wanted:
                states[0] = inputs[0]

        blocks = network.encoder.layers
        handles = [block.register_forward_hook(keep(i)) for i, block in enumerate(blocks, 1)]
        handles.append(blocks[0].register_forward_pre_hook(keep_first))
        if self.quantiser is not None:
            handles.append(
                network.feature_projection.register_forward_hook(
                    lambda module, inputs, output: features.append(output[1])
                )
            )
        try:
            last = network(samples, attention_mask=mask).last_hidden_state
        finally:
            for handle in handles:
                handle.remove()
        if self._final_norm and len(blocks) in states:
            states[len(blocks)] = last  # the identity where blocks were left out
        values = torch.stack([states[number] for number in self.layers])
        if self.mean:
            values = values.mean(0, keepdim=True)
        codes = None
        if self.quantiser is not None and self.codes is not None:
            scores = self.quantiser(features[0].to(self.quantiser.weight.dtype))
            codes = scores.unflatten(2, self.codes).argmax(3)
        return values, codes
