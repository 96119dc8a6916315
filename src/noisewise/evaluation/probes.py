"""How much a frozen vector knows: exact 1-NN, and linear and small-MLP probes.

Everything that is chosen (learning rate, weight decay, number of epochs) is chosen on validation
clips; test clips are only ever predicted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import faiss
import numpy as np
import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.recipe import ProbeConfig
from noisewise.seeding import derive

Kind = Literal["linear", "mlp"]


def nearest_neighbour(
    reference: np.ndarray, classes: np.ndarray, vectors: np.ndarray
) -> np.ndarray:
    """Class of the nearest reference by cosine, exactly; ties go to the earlier one.

    Args:
        reference: (clips, dim).
        classes: (clips,) int64.
        vectors: (queries, dim).

    Returns:
        (queries,) int64.

    Raises:
        ConfigError: no reference, or vectors of another size.
    """
    if not len(reference) or reference.shape[1] != vectors.shape[1]:
        raise ConfigError(
            f"1-NN needs reference vectors of the same size, got {reference.shape} and "
            f"{vectors.shape}"
        )
    index = faiss.IndexFlatIP(reference.shape[1])
    index.add(_unit(reference))
    _, rows = index.search(_unit(vectors), 1)
    found: np.ndarray = classes[rows[:, 0]]
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, 1e-12))


@dataclass(frozen=True)
class Probe:
    """A trained probe.

    Attributes:
        net: (batch, dim) -> logits.
        mean, scale: (dim,) standardisation by the training vectors.
        validation: accuracy on validation, by which it was chosen.
        lr, decay, epoch: what was chosen.
    """

    net: nn.Module
    mean: np.ndarray
    scale: np.ndarray
    validation: float
    lr: float
    decay: float
    epoch: int

    @torch.no_grad()
    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """(clips, dim) -> (clips,) int64 classes."""
        logits = self.net(_standard(vectors, self.mean, self.scale))
        found: np.ndarray = logits.argmax(1).numpy()
        return found


def train_probe(
    kind: Kind,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    classes: int,
    seed: int = 0,
    settings: ProbeConfig | None = None,
) -> Probe:
    """Train probes with every setting and keep the one that is best on validation.

    Args:
        kind: "linear" or "mlp".
        train, validation: (clips, dim) vectors and (clips,) int64 classes.
        classes: how many there are.
        seed: of the first weights and the order of clips.
        settings: what to choose from.

    Raises:
        ConfigError: an unknown kind, or nothing to train or select on.
    """
    settings = settings or ProbeConfig()
    if kind not in ("linear", "mlp"):
        raise ConfigError(f"unknown probe {kind!r}; known: linear, mlp")
    if not len(train[1]) or not len(validation[1]):
        raise ConfigError("a probe needs clips to train on and clips to select on")
    mean = train[0].mean(0)
    scale = 1 / np.maximum(train[0].std(0), 1e-6 * max(1e-12, float(np.abs(train[0]).max())))
    x, held_out = (_standard(vectors, mean, scale) for vectors in (train[0], validation[0]))
    y, truth = torch.from_numpy(train[1]), torch.from_numpy(validation[1])
    best: Probe | None = None
    for lr in settings.lrs:
        for decay in settings.decays:
            torch.manual_seed(derive(seed, "probe", kind) % 2**63)
            net = _net(kind, x.shape[1], settings.hidden, classes)
            for epoch, score in _epochs(net, x, y, held_out, truth, lr, decay, settings):
                if best is None or score > best.validation:
                    kept = _net(kind, x.shape[1], settings.hidden, classes)
                    kept.load_state_dict(net.state_dict())
                    best = Probe(kept.eval(), mean, scale, score, lr, decay, epoch)
    assert best is not None
    return best


def _epochs(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    held_out: Tensor,
    truth: Tensor,
    lr: float,
    decay: float,
    settings: ProbeConfig,
) -> Iterator[tuple[int, float]]:
    """Train ``net``; yields (epoch, validation accuracy)."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=decay)
    for epoch in range(settings.epochs):
        for rows in torch.randperm(len(y)).split(settings.batch):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            yield epoch, float((net(held_out).argmax(1) == truth).double().mean())


def _net(kind: Kind, dim: int, hidden: int, classes: int) -> nn.Module:
    if kind == "linear":
        return nn.Linear(dim, classes)
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def _standard(vectors: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Tensor:
    return torch.from_numpy(((vectors - mean) * scale).astype(np.float32))
