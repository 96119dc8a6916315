"""Objectives of self-supervised training: what is to be said about frames that were hidden."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.masked_model import Masked, MaskedModel
from noisewise.training.objective import Batch, Term
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream


class MaskedTerm(Term):
    """A term of pre-training."""

    needs_clean = True


class MaskedUnitsTerm(MaskedTerm):
    """Cross-entropy of the teacher's units of the clean clip, as in HuBERT (arXiv 2106.07447).

    The student hears the noisy clip with frames hidden (as WavLM does, arXiv 2110.13900).

    Args:
        weight: of this term in the sum.
        visible: weight of the frames that were not hidden, 0 to 1.
    """

    needs_teacher = True

    def __init__(self, weight: float = 1.0, visible: float = 0.0) -> None:
        super().__init__(weight)
        if not 0 <= visible <= 1:
            raise ConfigError(f"masked_units: visible must be in [0, 1], got {visible}")
        self.visible = visible

    def module(self, upstream: SelfSupervisedUpstream, teacher: dict[str, Any] | None) -> nn.Module:
        """A linear layer to the scores of the units."""
        if teacher is None or not isinstance(teacher.get("units"), int):
            raise ConfigError("masked_units needs a teacher with units in its phase")
        return nn.Linear(upstream.dim, teacher["units"])

    def __call__(
        self, batch: Batch, output: Masked, teacher: Any
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`; the figures are of hidden frames."""
        frames = output.frames.values
        units = in_step(batch.taught(teacher).codes[..., 0], frames.shape[2])
        head, last = output.heads[self.head], frames[-1]
        scores, truth = head(last[output.hidden]).float(), units[output.hidden]
        loss = F.cross_entropy(scores, truth)
        if self.visible and output.visible.any():  # a short clip can be hidden whole
            seen = head(last[output.visible]).float()
            loss = loss + self.visible * F.cross_entropy(seen, units[output.visible])
        answers = scores.argmax(1)
        figures = {"unit_accuracy": float((answers == truth).float().mean())}
        figures |= usage(truth, scores.shape[1])
        figures |= {f"predicted_{k}": v for k, v in usage(answers, scores.shape[1]).items()}
        return loss, figures


class SelfDistillationTerm(MaskedTerm):
    """Regression of the running average's own states, as in data2vec (arXiv 2202.03555).

    The target of a hidden frame is the mean of the average's top layers on the clean clip, each
    layer normalised over the clip.

    Args:
        weight: of this term in the sum.
        top: layers that are averaged.
    """

    needs_average = True

    def __init__(self, weight: float = 1.0, top: int = 3) -> None:
        super().__init__(weight)
        self.top = top

    def module(self, upstream: SelfSupervisedUpstream, teacher: dict[str, Any] | None) -> nn.Module:
        """A small regressor."""
        dim = upstream.dim
        return nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def __call__(
        self, batch: Batch, output: Masked, teacher: MaskedModel
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`; the deviation of the targets falls to 0 if the model collapses."""
        states = batch.taught(teacher.upstream.padded).values[-self.top :].float()
        own = (output.hidden | output.visible)[:, :, None]
        layers = [_over_time(layer, own) for layer in states]
        target = _over_time(torch.stack(layers).mean(0), own)[output.hidden]
        guess = output.heads[self.head](output.frames.values[-1][output.hidden]).float()
        spread = float(target.std(0).mean()) if len(target) > 1 else 0.0
        return F.mse_loss(guess, target), {"target_deviation": spread}


class ContrastiveTerm(MaskedTerm):
    """Finding the quantised features of a hidden frame among others, as in wav2vec 2.0.

    Features are those of the clean clip; distractors are other hidden frames of the same clip
    (arXiv 2006.11477, section 3.2, equations 3 and 4).

    Args:
        weight: of this term in the sum.
        groups, codes: of the product quantiser.
        distractors: of each frame.
        temperature: of the contrast.
        diversity: weight of the demand that all codes be used.
        gumbel: temperature of the quantiser's draws.
    """

    def __init__(
        self,
        weight: float = 1.0,
        groups: int = 2,
        codes: int = 160,
        distractors: int = 50,
        temperature: float = 0.1,
        diversity: float = 0.1,
        gumbel: float = 1.0,
    ) -> None:
        super().__init__(weight)
        self.groups, self.codes, self.gumbel = groups, codes, gumbel
        self.distractors, self.temperature = distractors, temperature
        self.diversity = diversity

    def module(self, upstream: SelfSupervisedUpstream, teacher: dict[str, Any] | None) -> nn.Module:
        """The quantiser of transformers and two projections."""
        from transformers import Wav2Vec2Config
        from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer

        network: Any = upstream.network
        config = Wav2Vec2Config(
            conv_dim=[network.config.conv_dim[-1]], conv_kernel=[1], conv_stride=[1],
            num_codevector_groups=self.groups, num_codevectors_per_group=self.codes,
            codevector_dim=upstream.dim, proj_codevector_dim=upstream.dim,
        )  # fmt: skip
        quantiser: Any = Wav2Vec2GumbelVectorQuantizer(config)  # type: ignore[no-untyped-call]
        quantiser.temperature = self.gumbel
        nn.init.normal_(quantiser.weight_proj.weight)
        nn.init.zeros_(quantiser.weight_proj.bias)
        nn.init.uniform_(quantiser.codevectors)
        dim = upstream.dim
        return nn.ModuleDict(
            {"quantiser": quantiser, "target": nn.Linear(dim, dim), "guess": nn.Linear(dim, dim)}
        )

    def __call__(
        self, batch: Batch, output: Masked, teacher: Any
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        assert batch.clean is not None
        head: Any = output.heads[self.head]
        with torch.autocast(batch.labels.device.type, enabled=False):
            features = output.upstream.features(batch.clean).float()
            targets, perplexity = head["quantiser"](features, output.hidden)
        target, guess = (
            head["target"](targets).float(),
            head["guess"](output.frames.values[-1]).float(),
        )
        flat, own = target[output.hidden], guess[output.hidden]
        rows = distractors(output.hidden, self.distractors, batch.generator)
        choices = torch.cat([flat[:, None], flat[rows]], 1)
        scores = F.cosine_similarity(own[:, None], choices, dim=2) / self.temperature
        # a distractor with the target's very codes is no distractor
        same = (choices[:, 1:] == choices[:, :1]).all(2)
        scores = torch.cat([scores[:, :1], scores[:, 1:].masked_fill(same, -torch.inf)], 1)
        loss = F.cross_entropy(scores, scores.new_zeros(len(scores), dtype=torch.int64))
        spread = 1 - perplexity / (self.groups * self.codes)
        right = float((scores.argmax(1) == 0).float().mean())
        figures = {"contrast_accuracy": right, "perplexity": float(perplexity.detach())}
        return loss + self.diversity * spread, figures


class LayerRegressionTerm(MaskedTerm):
    """Prediction of a larger model's layers, as in DistilHuBERT (arXiv 2110.01900).

    Every frame's last state is mapped to each of the teacher's layers on the clean clip; the loss
    is the L1 distance less the log-sigmoid of the cosine.

    Args:
        weight: of this term in the sum.
    """

    needs_teacher = True

    def module(self, upstream: SelfSupervisedUpstream, teacher: dict[str, Any] | None) -> nn.Module:
        """A linear layer to all layers of the teacher."""
        if teacher is None or teacher.get("name") != "model_units":
            raise ConfigError("layer_regression needs the teacher model_units in its phase")
        from noisewise.training.teachers import ModelUnits

        options = {k: v for k, v in teacher.items() if k != "name"}
        return nn.Linear(upstream.dim, ModelUnits(**options).size)

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def __call__(
        self, batch: Batch, output: Masked, teacher: Any
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        frames = output.frames.values
        wanted = batch.taught(teacher).values.permute(1, 2, 0, 3)  # batch, frames, layers, dim
        wanted = in_step(wanted, frames.shape[2])
        own = output.hidden | output.visible
        target = wanted[own].float()
        guess = output.heads[self.head](frames[-1][own]).float().view_as(target)
        cosine = F.cosine_similarity(guess, target, dim=2)
        loss = (guess - target).abs().mean() - F.logsigmoid(cosine).mean()
        return loss, {"layer_cosine": float(cosine.detach().mean())}


def distractors(hidden: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Other hidden frames of the same clip, each equally likely, for every hidden frame.

    Args:
        hidden: (batch, frames) bool.
        count: of each frame.
        generator: of the draws.

    Returns:
        (hidden frames, count) places among the hidden frames of the batch; a frame that is the
        only hidden one of its clip gets itself.
    """
    clip = hidden.nonzero(as_tuple=True)[0]
    sizes = hidden.sum(1)
    first, size = (sizes.cumsum(0) - sizes)[clip][:, None], sizes[clip][:, None]
    draw = torch.rand(len(clip), count, generator=generator, device=hidden.device)
    step = 1 + (draw * (size - 1)).long()  # round the circle of the clip's hidden frames
    place = torch.arange(len(clip), device=hidden.device)[:, None]
    return first + (place - first + step) % size


@torch.no_grad()
def in_step(values: Tensor, frames: int) -> Tensor:
    """(batch, frames, ...) cut, or its last frame repeated, to ``frames``.

    Two networks of one stride can differ by a frame or two at the end of a clip.
    """
    index = torch.arange(frames, device=values.device).clamp(max=values.shape[1] - 1)
    return values[:, index]


def usage(units: Tensor, size: int) -> dict[str, float]:
    """Health of a codebook: perplexity of (frames,) ``units``, and how many were never used.

    >>> usage(torch.tensor([0, 0, 1, 1]), 3)
    {'perplexity': 2.0, 'dead': 1.0}
    """
    counts = torch.bincount(units, minlength=size).double()
    p = counts / counts.sum().clamp(min=1)
    entropy = -(p * p.clamp(min=1e-12).log()).sum()
    return {"perplexity": float(entropy.exp()), "dead": float((counts == 0).sum())}


def _over_time(values: Tensor, own: Tensor) -> Tensor:
    """(batch, frames, dim) of mean 0 and deviation 1 over each clip's own frames."""
    n = own.sum(1, keepdim=True)
    centred = (values - (values * own).sum(1, keepdim=True) / n) * own
    deviation = (centred.square().sum(1, keepdim=True) / n + 1e-5).sqrt()
    return centred / deviation
