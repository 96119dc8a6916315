"""Which classes go into a batch: three pickers and the seven mixtures of them.

The rules are those of Vygon and Mikhaylovskiy (arXiv 2101.04792): uniform picks cover every
class, picks of words that sound alike give hard negatives (better macro-F1), and picks in
proportion to frequency favour common words (better accuracy). Every picker here returns
distinct classes, always as many as were asked for; where the paper's code gives duplicates or
falls one short (an odd number of near classes), the documented rule steps in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisewise.errors import ConfigError

MIXTURES: tuple[tuple[float, float, float], ...] = (
    (1, 0, 0),
    (0, 1, 0),
    (0, 0, 1),
    (1 / 2, 1 / 2, 0),
    (1 / 2, 0, 1 / 2),
    (0, 1 / 2, 1 / 2),
    (1 / 3, 1 / 3, 1 / 3),
)
"""Probabilities of (uniform, near, proportional) a batch, numbered as in the paper's code."""

Mixture = int | Sequence[float]


def mixture_of(mixture: Mixture) -> tuple[float, float, float]:
    """Probabilities of (uniform, near, proportional): a number 0 to 6, or the three themselves.

    Raises:
        ConfigError: another number, or not three non-negative probabilities that sum to 1.
    """
    if isinstance(mixture, int):
        if not 0 <= mixture < len(MIXTURES):
            raise ConfigError(f"class mixture must be 0 to {len(MIXTURES) - 1}, got {mixture}")
        return MIXTURES[mixture]
    shares = [float(share) for share in mixture]
    if len(shares) != 3 or not min(shares) >= 0 or not abs(sum(shares) - 1) < 1e-6:
        raise ConfigError(
            "class mixture must be three probabilities (uniform, near, proportional) that sum "
            f"to 1, got {shares}"
        )
    return shares[0], shares[1], shares[2]


def pick_uniform(rng: np.random.Generator, total: int, n: int) -> np.ndarray:
    """``n`` distinct classes out of ``total``, each equally likely: (n,) indices."""
    _check(total, n)
    return rng.choice(total, n, replace=False)


def pick_near(rng: np.random.Generator, neighbours: np.ndarray, n: int) -> np.ndarray:
    """``n`` distinct classes of which most come in pairs that sound alike: (n,) indices.

    n // 2 seed classes are drawn uniformly. Each brings a partner from its list of nearest
    classes: starting at rank 0, 1 or 2 (drawn), the first class that is not in the batch yet. An
    odd place, and the place of a seed whose list is used up, go to uniformly drawn classes.

    Args:
        rng: source of the draws.
        neighbours: (classes, k) indices of each class's nearest other classes, nearest first.
        n: classes wanted.
    """
    _check(len(neighbours), n)
    order = rng.permutation(len(neighbours))
    ranks = rng.integers(3, size=n // 2)
    picked = dict.fromkeys(order[: n // 2].tolist())
    for seed, rank in zip(list(picked), ranks, strict=True):
        near = neighbours[seed, rank:].tolist()
        partner = next((c for c in near if c not in picked), None)
        if partner is not None:
            picked[partner] = None
    for filler in order.tolist():
        if len(picked) == n:
            break
        picked.setdefault(filler)
    return np.array(list(picked), dtype=np.int64)


def pick_proportional(rng: np.random.Generator, weights: np.ndarray, n: int) -> np.ndarray:
    """``n`` distinct classes drawn one after the other in proportion to ``weights``: (n,).

    The paper draws with replacement; a class drawn twice is drawn again here, so that a batch
    never loses classes (negatives) to repeats. Classes of weight 0 come last, in random order.

    Args:
        rng: source of the draws.
        weights: (classes,) non-negative, for instance the number of clips.
        n: classes wanted.
    """
    _check(len(weights), n)
    # successive draws without replacement = the largest log(weight) + Gumbel noise
    with np.errstate(divide="ignore"):
        score = np.log(weights) + rng.gumbel(size=len(weights))
    tie = rng.random(len(weights))
    return np.lexsort((tie, -score))[:n]


def _check(total: int, n: int) -> None:
    if not 1 <= n <= total:
        raise ConfigError(f"cannot pick {n} distinct classes out of {total}")


class ClassPicker:
    """Draws the classes of a batch by one of the three rules, itself drawn from a mixture.

    Args:
        counts: (classes,) clips of each class, the weights of the proportional rule.
        n: classes in a batch.
        mixture: 0 to 6, or probabilities of (uniform, near, proportional).
        neighbours: (classes, k) from `noisewise.sampling.phonetic.neighbours`; needed only if
            the mixture has a near part.

    Raises:
        ConfigError: bad mixture, more classes than there are, or neighbours missing or of
            another shape.
    """

    def __init__(
        self,
        counts: Sequence[int] | np.ndarray,
        n: int,
        mixture: Mixture = 0,
        neighbours: np.ndarray | None = None,
    ) -> None:
        self.weights = np.asarray(counts, dtype=np.float64)
        self.n = n
        self.mixture = mixture_of(mixture)
        _check(len(self.weights), n)
        if self.mixture[1] > 0:
            if neighbours is None:
                raise ConfigError(f"class mixture {self.mixture} needs phonetic neighbours")
            if neighbours.ndim != 2 or len(neighbours) != len(self.weights):
                raise ConfigError(
                    f"neighbours must have a row for each of {len(self.weights)} classes, got "
                    f"shape {neighbours.shape}"
                )
        self.neighbours = neighbours

    def pick(self, rng: np.random.Generator) -> np.ndarray:
        """(n,) distinct class indices."""
        uniform, near, _ = self.mixture
        rule = rng.random()
        if rule < uniform:
            return pick_uniform(rng, len(self.weights), self.n)
        if self.neighbours is not None and rule < uniform + near:
            return pick_near(rng, self.neighbours, self.n)
        return pick_proportional(rng, self.weights, self.n)
