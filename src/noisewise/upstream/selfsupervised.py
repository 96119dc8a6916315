"""Self-supervised upstreams of transformers: wav2vec 2.0, XLS-R, HuBERT, WavLM, data2vec-audio."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from noisewise.clip_cache import SHARED, clip_key, company, is_frozen, weights_key
from noisewise.errors import ConfigError
from noisewise.types import Frames, Waves, length_mask
from noisewise.upstream.adapters import add_parallel
from noisewise.upstream.architecture import build_network, family_of, reduced
from noisewise.upstream.equal_lengths import in_equal_lengths
from noisewise.upstream.hiding import Hidden
from noisewise.upstream.pretrained import SMALL, read_pretrained
from noisewise.upstream.receptive_field import ReceptiveField

Batching = Literal["auto", "equal", "masked"]


class SelfSupervisedUpstream(nn.Module):
    """Waves -> hidden states, and the model's own codes where it has a quantiser.

    Give a model to read or an architecture; with neither it is the model that comes with the
    package. `spec` is what a run folder stores, so that a run opens without the model it started
    from.

    Args:
        model: folder in the hub's layout, or a hub id.
        revision: branch, tag or commit of a hub id.
        architecture: ``model_type`` and its values, for weights that come from elsewhere.
        quantiser: whether an ``architecture`` has the projection that gives codes.
        units: whether an ``architecture`` has k-means units as codes, and how many: hidden layer
            (as a text) -> units. Each layer is a group of codes.
        normalise: scale each clip to zero mean and unit variance; None does as the model says.
        layers: hidden states to give, 0 being the input of the first block; None gives all. The
            blocks beyond the deepest are not run, and not even kept.
        mean: average those layers into one.
        adapter_size: inner size of a bottleneck adapter beside each feed-forward part, see
            `noisewise.upstream.adapters.ParallelAdapter`; None for none.
        batching: "equal" runs clips of exactly one length together, "masked" pads; "auto" pads
            where that leaves every frame as it is and saves time, on GPUs and in training.
            Group-norm feature extractors and data2vec give other frames under padding, mask or
            not, so "masked" is refused.

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
        units: Mapping[str, int] | None = None,
        normalise: bool | None = None,
        layers: list[int] | None = None,
        mean: bool = True,
        adapter_size: int | None = None,
        batching: Batching = "auto",
    ) -> None:
        super().__init__()
        if model is not None and architecture is not None:
            raise ConfigError("give a model to read or an architecture, not both")
        projection = None
        centroids: Mapping[int, tuple[Tensor, Tensor]] = {}
        self.seen: frozenset[str] = frozenset()
        if architecture is None:
            read = read_pretrained(model or SMALL, revision)
            self.architecture, self.network = read.architecture, read.network
            projection, centroids, self.seen = read.quantiser, read.units, read.seen
            normalise = read.normalise if normalise is None else normalise
        else:
            self.architecture = reduced(architecture)
            self.network = build_network(self.architecture)
        # in training it would ask for the gradient of its input, which may be an enhancer's output
        self.network.feature_extractor._requires_grad = False  # type: ignore[union-attr, assignment]
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
        self.units = nn.ModuleDict()
        for layer, (weight, bias) in centroids.items():
            self.add_units(layer, weight, bias)
        for name, count in (units or {}).items():
            layer = int(name) if name.isdigit() else -1
            self.add_units(layer, torch.zeros(count, self.dim), torch.zeros(count))
        blocks = int(config.num_hidden_layers)
        self.layers = list(range(blocks + 1)) if layers is None else list(layers)
        if not self.layers or not set(self.layers) <= set(range(blocks + 1)):
            raise ConfigError(f"layers {self.layers} must be some of 0 to {blocks}")
        self.mean = mean
        # pre-norm models end with a norm, which belongs to the last hidden state alone
        self._final_norm = bool(getattr(config, "do_stable_layer_norm", False))
        deepest = max(1, *self.layers, *(int(layer) for layer in self.units))
        if deepest < blocks:
            encoder: Any = self.network.encoder
            encoder.layers = encoder.layers[:deepest]
            if self._final_norm:
                encoder.layer_norm = nn.Identity()
        self.adapter_size = adapter_size
        if adapter_size is not None:
            add_parallel(self.network, self.dim, adapter_size)
        exact = family_of(self.architecture).maskable and config.feat_extract_norm == "layer"
        if batching not in ("auto", "equal", "masked"):
            raise ConfigError(f"unknown batching {batching!r}; known: auto, equal, masked")
        if batching == "masked" and not exact:
            raise ConfigError("batching 'masked' would change the frames of this model")
        self.batching, self._maskable = batching, exact
        self.field = ReceptiveField(tuple(config.conv_kernel), tuple(config.conv_stride))

    @property
    def spec(self) -> dict[str, Any]:
        """Options that rebuild this module without its weights."""
        return {
            "architecture": self.architecture,
            "quantiser": self.quantiser is not None,
            "units": {layer: unit.out_features for layer, unit in self.units.items()},  # type: ignore[misc]
            "normalise": self.normalise,
            "layers": self.layers,
            "mean": self.mean,
            "adapter_size": self.adapter_size,
            "batching": self.batching,
        }

    @property
    def depth(self) -> int:
        """How many layers `forward` gives."""
        return 1 if self.mean else len(self.layers)

    @property
    def code_sizes(self) -> tuple[int, ...] | None:
        """Number of codes in each group, None where the model has neither units nor quantiser."""
        if self.units:
            return tuple(int(unit.out_features) for unit in self.units.values())  # type: ignore[arg-type]
        return None if self.codes is None else (self.codes[1],) * self.codes[0]

    def add_units(self, layer: int, weight: Tensor, bias: Tensor) -> None:
        """Codes from a hidden layer, in place of the quantiser's: the largest of its scores.

        Args:
            layer: hidden state, 0 being the input of the first block.
            weight, bias: (units, dim) and (units,), see `noisewise.upstream.units.linear_units`.

        Raises:
            ConfigError: a layer that is not run, or weights of another size.
        """
        blocks = len(self.network.encoder.layers)  # type: ignore[union-attr, arg-type]
        fits = weight.shape[1:] == (self.dim,) and bias.shape == weight.shape[:1]
        if not 0 <= layer <= blocks or not fits:
            raise ConfigError(
                f"units of layer {layer} with weights {tuple(weight.shape)} do not fit a model of "
                f"{blocks} layers and {self.dim} dimensions"
            )
        unit = nn.Linear(weight.shape[1], weight.shape[0]).requires_grad_(False)
        unit.load_state_dict({"weight": weight, "bias": bias})
        self.units[str(layer)] = unit

    def forward(self, waves: Waves, hidden: Hidden | None = None) -> Frames:
        """Frames with values (layers, or 1 for their mean, batch, frames, dim).

        Raises:
            ConfigError: masks for clips of different lengths, and a model that padding changes.
        """
        device = waves.samples.device
        # with a way back, as behind an enhancer, a batch takes half the time of its clips
        pays = self.training or device.type != "cpu" or waves.samples.requires_grad
        auto = self.batching == "auto" and self._maskable and pays
        if hidden is not None or self.batching == "masked" or auto:
            return self.padded(waves, hidden)
        # one by one needs the least memory, and frames are then the same in any company; batches
        # take half the time on CPUs without bf16, and as long on others
        at_most = 64 if device.type != "cpu" else 1 if company() == "none" else 8
        if device.type == "cpu" and company() != "new" and is_frozen(self, waves.samples):
            # equal weights in another architecture, or on other input, give other frames
            state = weights_key(self), repr(self.spec), torch.is_autocast_enabled("cpu")
            return in_equal_lengths(partial(self._kept, state), waves, at_most)
        return in_equal_lengths(self._equal, waves, at_most)

    def _equal(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._run(self._prepared(samples, None), None)

    def _kept(self, state: Hashable, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """`_equal`, of clips that the same weights have heard before from memory."""
        made: list[tuple[Tensor, Tensor | None]] = []

        def make(place: int) -> tuple[tuple[Tensor, Tensor | None], int]:
            if not made:
                made.append(self._equal(samples))
            values, codes = made[0]
            # copies: a part must not keep the whole alive
            own = values[:, [place]], None if codes is None else codes[[place]]
            return own, own[0].nbytes + (0 if own[1] is None else own[1].nbytes)

        parts = [
            SHARED.get(("frames", state, clip_key(clip)), partial(make, place))
            for place, clip in enumerate(samples)
        ]
        values = torch.cat([values for values, _ in parts], 1)  # what is kept itself stays here
        codes = [codes for _, codes in parts if codes is not None]
        return values, torch.cat(codes) if codes else None

    def batch_if_exact(self) -> None:
        """Pad on a CPU too, where that changes no frame; clips of a batch should be about equal."""
        if self._maskable and self.batching == "auto":
            self.batching = "masked"

    def padded(self, waves: Waves, hidden: Hidden | None = None) -> Frames:
        """`forward` on the batch as it is, some frames hidden from the blocks.

        Args:
            waves: the batch.
            hidden: what the blocks do not hear.

        Raises:
            ConfigError: a model whose frames would change with padding, on clips that need it.
        """
        if not self._maskable and len(waves.lengths.unique()) > 1:  # type: ignore[no-untyped-call]
            raise ConfigError("clips of different lengths would change each other's frames")
        samples = self._prepared(waves.samples, waves.lengths)
        counts = self.field.frame_counts(waves.lengths)
        mask = None
        if int(waves.lengths.min()) < samples.shape[1]:
            mask = length_mask(waves.lengths.clamp(min=self.field.samples), samples.shape[1])
        values, codes = self._run(samples, mask, hidden)
        own = length_mask(counts, values.shape[2])
        values = values * own[None, :, :, None]
        return Frames(values, counts, None if codes is None else codes * own[:, :, None])

    def features(self, waves: Waves) -> Tensor:
        """(batch, frames, channels) normalised output of the convolutions, before the blocks."""
        network: Any = self.network
        values = network.feature_extractor(self._prepared(waves.samples, waves.lengths))
        features: Tensor = network.feature_projection.layer_norm(values.transpose(1, 2))
        return features

    def _prepared(self, samples: Tensor, lengths: Tensor | None) -> Tensor:
        """Clips scaled where the model wants it, then long enough for a frame."""
        if self.normalise:
            own = None if lengths is None else length_mask(lengths, samples.shape[1])
            n = samples.shape[1] if lengths is None else lengths[:, None]
            centred = samples - samples.sum(1, keepdim=True) / n
            if own is not None:
                centred = centred * own
            samples = centred / (centred.square().sum(1, keepdim=True) / n + 1e-7).sqrt()
        return nn.functional.pad(samples, (0, max(0, self.field.samples - samples.shape[1])))

    def _run(
        self, samples: Tensor, mask: Tensor | None, hidden: Hidden | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(batch, samples) -> (layers, batch, frames, dim) and (batch, frames, groups)."""
        network: Any = self.network
        states: dict[int, Tensor] = {}
        features: list[Tensor] = []
        wanted = {*self.layers, *(int(layer) for layer in self.units)}

        def keep(number: int) -> Any:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if number in wanted:
                    states[number] = output[0] if isinstance(output, tuple) else output

            return hook

        def keep_first(module: nn.Module, inputs: Any) -> None:
            if 0 in wanted:
                states[0] = inputs[0]

        def hide(module: nn.Module, inputs: Any) -> Any:
            if hidden is None:
                return None
            vector = network.masked_spec_embed.to(inputs[0].dtype)
            heard = torch.where(hidden.frames[:, :, None], vector, inputs[0])
            if hidden.dims is not None:
                heard = heard.masked_fill(hidden.dims[:, None], 0)
            return (heard, *inputs[1:])

        def keep_features(module: nn.Module, inputs: Any, output: Any) -> None:
            features.append(output[1])

        blocks = network.encoder.layers
        handles = [block.register_forward_hook(keep(i)) for i, block in enumerate(blocks, 1)]
        handles.append(blocks[0].register_forward_pre_hook(keep_first))
        handles.append(network.encoder.register_forward_pre_hook(hide))
        if self.quantiser is not None:
            handles.append(network.feature_projection.register_forward_hook(keep_features))
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
        return values, self._codes(states, features)

    @torch.no_grad()
    def _codes(self, states: dict[int, Tensor], features: list[Tensor]) -> Tensor | None:
        """(batch, frames, groups), from units where there are any, else from the quantiser."""
        if self.units:
            groups = []
            for layer, unit in self.units.items():
                state = states[int(layer)].float()
                with torch.autocast(state.device.type, enabled=False):
                    scores: Tensor = unit(state)
                groups.append(scores.argmax(2))
            return torch.stack(groups, 2)
        if self.quantiser is None or self.codes is None:
            return None
        scores = self.quantiser(features[0].to(self.quantiser.weight.dtype))
        codes: Tensor = scores.unflatten(2, self.codes).argmax(3)  # type: ignore[no-untyped-call]
        return codes
