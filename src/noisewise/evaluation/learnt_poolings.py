"""Poolings that learn where to listen, trained with a linear head on frozen frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.components import Spec, build
from noisewise.evaluation.frame_table import FrameTable
from noisewise.evaluation.kept import Kept
from noisewise.pooling.base import Pooling, WeightedPooling
from noisewise.recipe import ProbeConfig
from noisewise.seeding import derive
from noisewise.types import Frames

LEARNING = ProbeConfig(lrs=[1e-3, 1e-2], decays=[0.0], epochs=30, batch=64)


class ScaledPooling(Pooling):
    """A pooling of frames that are standardised first.

    Args:
        pool: what pools.
        mean, scale: (dim,) of the training frames; a frame becomes (frame - mean) x scale.
    """

    def __init__(self, pool: Pooling, mean: Tensor, scale: Tensor) -> None:
        super().__init__(pool.dim)
        self.pool, self.needs_codes = pool, pool.needs_codes
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def scaled(self, values: Tensor) -> Tensor:
        """(batch, frames, dim) -> the same, standardised."""
        mean, scale = self.get_buffer("mean"), self.get_buffer("scale")
        return (values - mean) * scale

    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        pooled: Tensor = self.pool(self.scaled(values), lengths, codes)
        return pooled

    def weights(
        self, values: Tensor, lengths: Tensor, codes: Tensor | None = None
    ) -> Tensor | None:
        """(batch, frames) weights of the frames, None where each channel has its own."""
        if not isinstance(self.pool, WeightedPooling):
            return None
        return self.pool.weights(self.scaled(values), lengths, codes)


@dataclass
class Learnt:
    """A pooling and its head, as they were at the best validation accuracy.

    Attributes:
        pool: frames to vector.
        head: (batch, dim) -> logits.
        validation: the accuracy by which it was chosen.
        lr, decay, epoch: what was chosen.
    """

    pool: ScaledPooling
    head: nn.Module
    validation: float = -1.0
    lr: float = 0.0
    decay: float = 0.0
    epoch: int = 0

    @property
    def both(self) -> nn.ModuleList:
        """Pooling and head together."""
        return nn.ModuleList([self.pool, self.head])

    def state(self) -> dict[str, np.ndarray]:
        """Everything, as arrays."""
        chosen = np.array([self.validation, self.lr, self.decay, self.epoch], dtype=np.float64)
        weights = {name: value.numpy() for name, value in self.both.state_dict().items()}
        return {"chosen": chosen, **weights}

    def restore(self, state: dict[str, np.ndarray]) -> Learnt:
        """Take over what `state` gave; returns itself, ready to predict."""
        weights = {k: torch.from_numpy(v) for k, v in state.items() if k != "chosen"}
        self.both.load_state_dict(weights)
        self.both.eval().requires_grad_(False)
        self.validation, self.lr, self.decay, epoch = map(float, state["chosen"])
        self.epoch = int(epoch)
        return self

    @torch.no_grad()
    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """(clips, dim) pooled vectors -> (clips,) int64 classes."""
        found: np.ndarray = self.head(torch.from_numpy(vectors)).argmax(1).numpy()
        return found


def learn_pooling(
    spec: Spec,
    train: tuple[FrameTable, np.ndarray],
    validation: tuple[FrameTable, np.ndarray],
    classes: int,
    seed: int = 0,
    settings: ProbeConfig = LEARNING,
    sizes: tuple[int, ...] | None = None,
    kept: tuple[Kept, str] | None = None,
) -> Learnt:
    """Train with every setting; the weights that are best on validation clips are the result.

    Args:
        spec: name and options of the pooling.
        train, validation: frames, and (clips,) int64 class of each clip.
        classes: how many there are.
        seed: of the first weights and the order of clips.
        settings: what to choose from.
        sizes: number of codes in each group, for poolings of codes.
        kept: where the result is kept, and under which name; taken from there if it is there.

    Raises:
        ConfigError: unknown pooling or option.
    """

    def make() -> Learnt:
        torch.manual_seed(derive(seed, "learnt", str(spec["name"])) % 2**63)
        mean, scale = train[0].mean_and_scale
        pool = build("pooling", spec, dim=len(mean), sizes=sizes)
        # the norm does for the pooled vector what standardising does for a probe
        norm = nn.BatchNorm1d(pool.dim, affine=False)
        head = nn.Sequential(norm, nn.Linear(pool.dim, classes))
        return Learnt(ScaledPooling(pool, mean, scale), head)

    state = kept[0].get(kept[1]) if kept is not None else None
    if state is not None:
        return make().restore(state)
    best: Learnt | None = None
    for lr in settings.lrs:
        for decay in settings.decays:
            learnt = make()
            _train(learnt, train, validation, settings, lr, decay)
            if best is None or learnt.validation > best.validation:
                best = learnt
    assert best is not None
    if kept is not None:
        kept[0].put(kept[1], best.state())
    return best


def _train(
    learnt: Learnt,
    train: tuple[FrameTable, np.ndarray],
    validation: tuple[FrameTable, np.ndarray],
    settings: ProbeConfig,
    lr: float,
    decay: float,
) -> None:
    """Train in place, and end with the best weights."""
    learnt.lr, learnt.decay = lr, decay
    frames, labels = train[0], torch.from_numpy(train[1])
    both = learnt.both
    optimizer = torch.optim.AdamW(both.parameters(), lr=lr, weight_decay=decay)
    state: dict[str, Tensor] = {}
    for epoch in range(settings.epochs):
        both.train()
        order = torch.randperm(len(frames))
        for clips in order.split(settings.batch):  # type: ignore[no-untyped-call]
            if len(clips) < 2:
                continue  # no statistics to standardise with
            optimizer.zero_grad()
            logits = learnt.head(_pooled(learnt.pool, frames.frames(clips.numpy())))
            loss = nn.functional.cross_entropy(logits, labels[clips])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        both.eval()
        score = _accuracy(learnt, *validation)
        if score > learnt.validation:
            learnt.validation, learnt.epoch = score, epoch
            state = {name: value.clone() for name, value in both.state_dict().items()}
    both.load_state_dict(state)
    both.eval().requires_grad_(False)


def _pooled(pool: Pooling, frames: Frames) -> Tensor:
    pooled: Tensor = pool(frames.values[-1], frames.lengths, frames.codes)
    return pooled


@torch.no_grad()
def _accuracy(learnt: Learnt, frames: FrameTable, labels: np.ndarray) -> float:
    said = [learnt.predict(_pooled(learnt.pool, batch).numpy()) for batch in frames.batches()]
    return float((np.concatenate(said) == labels).mean())
