"""Seeded lists of verification trials from any clips with speakers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from noisewise.errors import ConfigError, CorpusError
from noisewise.seeding import rng
from noisewise.trials import Trials

Clips = dict[str, list[str]]
"""Speaker -> clips, both sorted."""


def make_trials(
    ids: Sequence[str],
    speakers: Sequence[str | None],
    seed: int,
    *,
    targets: int = 10,
    impostors: int = 10,
    groups: Sequence[str | None] | None = None,
) -> Trials:
    """A list with as many trials of each speaker.

    A speaker's targets are pairs of the own clips. The impostors pair one of them with a clip of
    another speaker, of another one each time until all have had a turn. No clip meets itself,
    and no two clips meet twice, in either order. Where pairs run out a speaker has fewer trials.
    The list depends on the clips, the numbers and the seed, not on the order of the rows.

    Args:
        ids: (clips,) names, all different, as in ``rows["id"][:]`` of a corpus.
        speakers: (clips,) who speaks; clips without a speaker are left out.
        seed: of every draw.
        targets: pairs of one speaker, for each; at least 1.
        impostors: pairs with others, for each; at least 1.
        groups: (clips,) kind of each speaker, for instance the gender: impostors are then of one
            kind, which is harder.

    Raises:
        ConfigError: numbers below 1, lengths that differ, or a speaker in no group or in two.
        CorpusError: two clips of one id, or nothing to pair: no speaker with two clips, or no
            two speakers (of one group).
    """
    if min(targets, impostors) < 1:
        raise ConfigError(f"trials need numbers of at least 1, got {targets} and {impostors}")
    if not len(ids) == len(speakers) == len(ids if groups is None else groups):
        raise ConfigError("trials need one speaker (and group) a clip")
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise CorpusError(f"two clips have the id {twice!r}")
    clips: Clips = {}
    for speaker, clip in sorted(
        (s, i) for s, i in zip(speakers, ids, strict=True) if s is not None
    ):
        clips.setdefault(speaker, []).append(clip)
    kinds = _kinds(speakers, groups)
    rivals: dict[str, list[str]] = {}
    for speaker in clips:
        rivals.setdefault(kinds[speaker], []).append(speaker)
    rows: list[tuple[bool, str, str]] = []
    met: set[frozenset[str]] = set()
    meetings: Counter[frozenset[str]] = Counter()
    for speaker, own in clips.items():
        draw = rng(seed, "trials", speaker)
        rows += [(True, *pair) for pair in _same(own, targets, draw)]
        others = rivals[kinds[speaker]]
        pairs = _different(speaker, clips, others, met, meetings, draw)
        rows += [(False, *pair) for pair in islice(pairs, impostors)]
    if len({label for label, _, _ in rows}) < 2:
        lacking = "impostors" if rows and rows[0][0] else "targets"
        raise CorpusError(f"no {lacking} among {len(ids)} clips of {len(clips)} speakers")
    return Trials.of(rows)


def _kinds(speakers: Sequence[str | None], groups: Sequence[str | None] | None) -> dict[str, str]:
    """Group of each speaker; all are of one where there are none."""
    found: dict[str, str] = {}
    given = [""] * len(speakers) if groups is None else groups
    for speaker, group in zip(speakers, given, strict=True):
        if speaker is not None and (group is None or found.setdefault(speaker, group) != group):
            raise ConfigError(f"speaker {speaker!r} must be in one group throughout, got {group!r}")
    return found


def _same(own: list[str], wanted: int, draw: np.random.Generator) -> list[tuple[str, str]]:
    """Distinct pairs of one speaker's clips, numbered 0 to n (n - 1) / 2 - 1."""
    total = len(own) * (len(own) - 1) // 2
    pairs = []
    for number in draw.choice(total, min(wanted, total), replace=False).tolist() if total else []:
        later = (1 + math.isqrt(1 + 8 * number)) // 2
        pairs.append((own[number - later * (later - 1) // 2], own[later]))
    return pairs


def _different(
    speaker: str,
    clips: Clips,
    others: list[str],
    met: set[frozenset[str]],
    meetings: Counter[frozenset[str]],
    draw: np.random.Generator,
) -> Iterator[tuple[str, str]]:
    """Pairs with the others in a drawn order, round after round until every pair has met."""
    order = [others[place] for place in draw.permutation(len(others)).tolist()]
    own = clips[speaker]
    left = [other for other in order if other != speaker]
    while left:
        open_ = []
        for other in left:
            theirs, both = clips[other], frozenset((speaker, other))
            if meetings[both] == len(own) * len(theirs):
                continue
            open_.append(other)
            pair = _draw(own, theirs, draw)
            while frozenset(pair) in met:
                pair = _draw(own, theirs, draw)
            met.add(frozenset(pair))
            meetings[both] += 1
            yield pair
        left = open_


def _draw(own: list[str], theirs: list[str], draw: np.random.Generator) -> tuple[str, str]:
    return own[int(draw.integers(len(own)))], theirs[int(draw.integers(len(theirs)))]
