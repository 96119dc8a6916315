"""Which rows go into a batch: a pure function of (seed, step).

A sampler has no position to save. The batch of step k is computed from k, so a resumed run, any
number of workers and any number of processes see the same batches.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from noisewise.errors import ConfigError
from noisewise.sampling.classes import ClassPicker, Mixture, mixture_of
from noisewise.seeding import rng


class ShuffledBatches:
    """Every row once an epoch, in a new order each epoch.

    An epoch has ceil(rows / batch_size) batches whose sizes differ by one at most, so no batch
    is a tiny remainder.

    Args:
        n_rows: number of rows.
        batch_size: most rows in a batch.
        seed: seed of the orders.

    Raises:
        ConfigError: no rows, or an empty batch.

    Example:
        >>> batches = ShuffledBatches(5, 2, seed=0)
        >>> batches.steps_per_epoch, sorted(sum((batches.batch(k) for k in range(3)), []))
        (3, [0, 1, 2, 3, 4])
    """

    group = 1

    def __init__(self, n_rows: int, batch_size: int, seed: int) -> None:
        if n_rows < 1 or batch_size < 1:
            raise ConfigError(
                f"batches need rows >= 1 and batch_size >= 1, got {n_rows} and {batch_size}"
            )
        self.n_rows, self.batch_size, self.seed = n_rows, batch_size, seed
        self.steps_per_epoch = -(-n_rows // batch_size)
        self._walk = Walk(seed, np.arange(n_rows))

    def batch(self, step: int) -> list[int]:
        """Row indices of the batch of a step (counted from 0 over the whole training)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        start, end = (i * self.n_rows // self.steps_per_epoch for i in (place, place + 1))
        return [int(row) for row in self._walk.rows(epoch)[start:end]]


class DurationBatches:
    """Batches of about equal length in seconds, each of clips of about equal length.

    Rows are sorted by duration into runs that fill a batch when each clip is padded to the
    longest of them; every row comes once an epoch, the runs' order and, among rows of nearly one
    duration, their members drawn anew.

    Args:
        durations: of each row, in seconds, after any cropping.
        seconds: audio in a batch, padding included; a longer clip is a batch of its own.
        seed: of the orders.
        groups: rows are shuffled within so many ranges of duration, at least one batch long.

    Raises:
        ConfigError: no rows, or nothing in a batch.

    Example:
        >>> batches = DurationBatches([1.0, 4.0, 1.1, 1.0, 4.0], seconds=4, seed=0)
        >>> batches.steps_per_epoch, sorted(len(batches.batch(k)) for k in range(3))
        (3, [1, 1, 3])
    """

    group = 1

    def __init__(
        self, durations: Sequence[float], seconds: float, seed: int, groups: int = 16
    ) -> None:
        if not len(durations) or seconds <= 0 or groups < 1:
            raise ConfigError(
                "batches need rows, seconds > 0 and groups >= 1, got "
                f"{len(durations)} rows, seconds={seconds}, groups={groups}"
            )
        self.seed = seed
        order = np.argsort(np.asarray(durations), kind="stable")
        sorted_ = np.asarray(durations)[order]
        self._walks: list[Walk] = []
        self._runs: list[tuple[int, int, int]] = []
        for number, part in enumerate(np.array_split(np.arange(len(order)), groups)):
            if not len(part):
                continue
            size = max(1, int(seconds / max(float(sorted_[part[-1]]), 1e-3)))
            place = len(self._walks)
            self._walks.append(Walk(seed, order[part], "duration", str(number)))
            # as even as possible, so that no batch is a tiny remainder
            count = -(-len(part) // size)
            edges = [i * len(part) // count for i in range(count + 1)]
            self._runs += [(place, a, b) for a, b in pairwise(edges)]
        self.steps_per_epoch = len(self._runs)
        self._order = Walk(seed, np.arange(len(self._runs)), "runs")

    def batch(self, step: int) -> list[int]:
        """Row indices of the batch of a step (counted from 0 over the whole training)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        walk, start, end = self._runs[int(self._order.rows(epoch)[place])]
        return [int(row) for row in self._walks[walk].rows(epoch)[start:end]]


class ClassBatches:
    """Batches of P classes x K clips for losses that compare clips within the batch.

    Classes are drawn by `noisewise.sampling.classes.ClassPicker`. Each class's clips are
    shuffled and dealt out in hands of K; step k takes hand k modulo the number of hands, and the
    class is reshuffled after the last one. The walk goes on at every step, whether or not the
    class was picked, which makes it a function of the step alone: where every class is in every
    batch no clip comes again before all others came (fewer than K may wait for the next
    shuffle), and where classes are drawn their clips come up evenly in expectation.

    Args:
        labels: label of each row.
        classes: classes a batch, P. With fewer classes all are used, with a warning, or an error
            if ``clamp`` is off.
        per_class: clips of each class, K. A class with fewer clips repeats them as evenly as
            possible, with a warning.
        mixture: 0 to 6, or probabilities of (uniform, near, proportional).
        seed: seed of all draws.
        homophones: place of words with equal phonetic codes among a class's neighbours, see
            `noisewise.sampling.phonetic.neighbours`.
        clamp: use all classes where there are fewer than ``classes``.

    Attributes:
        names: the distinct labels, sorted.
        batch_size: rows in every batch, P * K.
        steps_per_epoch: batches that together have about as many rows as there are.

    Raises:
        ConfigError: no rows, bad P, K or mixture, or fewer than P classes without ``clamp``.

    Example:
        >>> labels = ["yes", "no", "up"] * 4
        >>> batches = ClassBatches(labels, classes=2, per_class=3, seed=0)
        >>> rows = batches.batch(7)
        >>> len(rows), len({labels[row] for row in rows}), rows == batches.batch(7)
        (6, 2, True)
    """

    group = 1

    def __init__(
        self,
        labels: Sequence[str],
        classes: int = 35,
        per_class: int = 10,
        mixture: Mixture = 0,
        seed: int = 0,
        *,
        homophones: str = "hardest",
        clamp: bool = True,
    ) -> None:
        if not len(labels) or classes < 1 or per_class < 1:
            raise ConfigError(
                "class batches need rows, classes >= 1 and per_class >= 1, got "
                f"{len(labels)} rows, classes={classes}, per_class={per_class}"
            )
        self.names = sorted({str(label) for label in labels})
        index = {name: number for number, name in enumerate(self.names)}
        of_row = np.array([index[str(label)] for label in labels])
        counts = np.bincount(of_row)
        members = np.split(np.argsort(of_row, kind="stable"), counts.cumsum()[:-1])

        if classes > len(self.names):
            message = f"a batch of {classes} classes was asked for, the rows have {len(self.names)}"
            if not clamp:
                raise ConfigError(message)
            warnings.warn(f"{message}: all of them go into every batch", stacklevel=2)
        scarce = [self.names[i] for i in np.flatnonzero(counts < per_class)]
        if scarce:
            shown = ", ".join(scarce[:10]) + (", ..." if len(scarce) > 10 else "")
            warnings.warn(
                f"{len(scarce)} class(es) with fewer than {per_class} clips repeat them within a "
                f"batch: {shown}",
                stacklevel=2,
            )
        self.classes, self.per_class = min(classes, len(self.names)), per_class
        self.seed = seed
        self.batch_size = self.classes * per_class
        self.steps_per_epoch = max(1, len(labels) // self.batch_size)

        near = None
        if mixture_of(mixture)[1] > 0:
            # imported here: other mixtures need no phonetic codes
            from noisewise.sampling.phonetic import neighbours

            # a walk that skips all that are in the batch ends within this many ranks
            near = neighbours(self.names, self.classes + 3, homophones=homophones)
        self._picker = ClassPicker(counts, self.classes, mixture, near)
        self._walks = [
            Walk(seed, rows, name) for name, rows in zip(self.names, members, strict=True)
        ]

    def batch(self, step: int) -> list[int]:
        """Row indices of the batch of a step (counted from 0), class after class."""
        picked = self._picker.pick(rng(self.seed, "classes", step))
        return [int(row) for number in picked for row in self._hand(self._walks[number], step)]

    def _hand(self, walk: Walk, step: int) -> np.ndarray:
        cycle, hand = divmod(step, max(1, walk.size // self.per_class))
        start = hand * self.per_class
        # a scarce class has one hand a cycle: its shuffled clips, over and over
        return walk.rows(cycle).take(range(start, start + self.per_class), mode="wrap")


class Walk:
    """Rows in an order that is drawn anew each cycle; keeps the latest order, which saves time."""

    def __init__(self, seed: int, rows: np.ndarray, *keys: str) -> None:
        self.size = len(rows)
        self._seed, self._rows, self._keys = seed, rows, keys
        self._latest = (-1, rows)

    def rows(self, cycle: int) -> np.ndarray:
        """(size,) the rows in the order of a cycle."""
        latest, order = self._latest
        if cycle != latest:
            order = rng(self._seed, "walk", *self._keys, cycle).permutation(self._rows)
            self._latest = (cycle, order)
        return order
