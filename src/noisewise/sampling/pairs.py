"""Batches of pairs: two utterances of each of many speakers, no speaker twice in a batch.

For losses that tell the speakers of a batch apart by one utterance against another, such as
angular prototypical losses (Chung et al., arXiv 2003.11982).
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from noisewise.errors import ConfigError
from noisewise.sampling.batches import Walk
from noisewise.seeding import rng


class PairBatches:
    """Batches of P pairs, each of two different utterances of one speaker.

    In an epoch a speaker's utterances are shuffled, at most ``at_most`` of them are taken and
    paired, and the pairs go to different batches all over the epoch, drawn at random. An epoch has
    as many full batches as can be made so, for which fewer than P pairs, of the speakers drawn
    last, are dropped. A speaker with twice as many utterances as an epoch takes, or more, goes on
    with others in the next epoch.

    A batch lists its pairs one after another, so places 2i and 2i + 1 are a pair, and of several
    processes each gets whole pairs (``group``). P counts the pairs of all processes together.

    Args:
        labels: speaker of each row. Speakers with one row are left out, with a warning.
        pairs: pairs (speakers) in a batch, P. With fewer speakers all are used, with a warning.
        at_most: utterances of a speaker in an epoch, at least 2.
        seed: of all draws.

    Attributes:
        batch_size: rows in every batch, 2 P.
        steps_per_epoch: full batches in an epoch.

    Raises:
        ConfigError: no speaker with two rows, no pairs, or ``at_most`` below 2.

    Example:
        >>> speakers = ["ann", "bob", "cy"] * 4
        >>> batches = PairBatches(speakers, pairs=2, seed=0)
        >>> [[speakers[row] for row in batches.batch(k)] for k in range(batches.steps_per_epoch)]
        [['cy', 'cy', 'bob', 'bob'], ['bob', 'bob', 'ann', 'ann'], ['cy', 'cy', 'ann', 'ann']]
    """

    group = 2

    def __init__(
        self, labels: Sequence[str], pairs: int = 96, at_most: int = 500, seed: int = 0
    ) -> None:
        names, of_row, counts = np.unique(
            np.asarray(labels, dtype=str), return_inverse=True, return_counts=True
        )
        usable = np.flatnonzero(counts > 1)
        if pairs < 1 or at_most < 2 or not len(usable):
            raise ConfigError(
                "pairs need a speaker with two rows, pairs >= 1 and at_most >= 2, got "
                f"{len(labels)} rows of {len(names)} speakers, pairs={pairs}, at_most={at_most}"
            )
        if len(usable) < len(names):
            warnings.warn(
                f"{len(names) - len(usable)} of {len(names)} speakers have one row and are left "
                "out: no pair can be made of it",
                stacklevel=2,
            )
        if pairs > len(usable):
            warnings.warn(
                f"a batch of {pairs} pairs was asked for, of as many speakers, and there are "
                f"{len(usable)}: all of them go into every batch",
                stacklevel=2,
            )
        self.seed = seed
        self.pairs = size = min(pairs, len(usable))
        self.batch_size = 2 * size
        most = np.minimum(counts[usable], at_most) // 2
        # the most steps for which the speakers, once a step each, have enough pairs
        self.steps_per_epoch = steps = bisect_left(
            range(1, int(most.sum()) // size + 1),
            True,
            key=lambda count: bool(np.minimum(most, count).sum() < size * count),
        )
        self._takes = np.minimum(most, steps)
        members = np.split(np.argsort(of_row, kind="stable"), counts.cumsum()[:-1])
        self._walks = [Walk(seed, members[i], "pairs of", str(names[i])) for i in usable]
        self._latest = (-1, np.zeros((0, 0, 2), np.int64))

    def batch(self, step: int) -> list[int]:
        """Row indices of the batch of a step (counted from 0), pair after pair."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._latest[0] != epoch:
            self._latest = (epoch, self._epoch(epoch))
        return [int(row) for row in self._latest[1][place].flat]

    def _epoch(self, epoch: int) -> np.ndarray:
        """(steps, pairs, 2) rows of an epoch.

        Each speaker takes the emptiest batches, drawn among equals. The numbers of pairs in the
        batches so never differ by more than one, and there is room for every speaker.
        """
        draw = rng(self.seed, "pairs", epoch)
        steps = self.steps_per_epoch
        plan = np.zeros((steps, self.pairs, 2), np.int64)
        filled = np.zeros(steps, np.int64)
        left = steps * self.pairs
        for number in draw.permutation(len(self._walks)):
            count = min(int(self._takes[number]), left)
            if not count:
                break
            chances = filled + draw.random(steps)
            places = np.sort(np.argpartition(chances, count - 1)[:count])
            plan[places, filled[places]] = self._hand(number, epoch)[:count]
            filled[places] += 1
            left -= count
        return plan

    def _hand(self, number: int, epoch: int) -> np.ndarray:
        """(pairs, 2) rows of a speaker for an epoch: the next of its shuffled utterances."""
        walk, size = self._walks[number], 2 * int(self._takes[number])
        cycle, hand = divmod(epoch, walk.size // size)
        return walk.rows(cycle)[hand * size : (hand + 1) * size].reshape(-1, 2)
