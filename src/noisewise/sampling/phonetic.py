"""Which words sound alike: a distance between phonetic codes, and each word's nearest words.

D(v, w) = 0.2 Lev(Soundex) + 0.2 Lev(Caverphone 2) + 0.5 Lev(Metaphone) + 0.1 Lev(NYSIIS), where
Lev is the unit-cost edit distance of the two words' codes (Vygon and Mikhaylovskiy, arXiv
2101.04792). Soundex, Metaphone and NYSIIS are jellyfish's. They follow the published algorithms
where the code behind the paper has quirks: its Soundex drops w and vowels before it merges
repeats (forward F630, here F663), its Metaphone misses rules that look at the next letter
(silence slnk, here SLNS; right rkt, here RT), its NYSIIS keeps repeats and takes y for a vowel
(three ttr, here TRY). On the word pairs whose distance in that code is known, ours differs by at
most 0.1.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import jellyfish
import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from noisewise.errors import ConfigError
from noisewise.sampling.caverphone import caverphone

HOMOPHONES = ("hardest", "last")

_CODERS: tuple[tuple[Callable[[str], str], int], ...] = (
    (jellyfish.soundex, 2),
    (caverphone, 2),
    (jellyfish.metaphone, 5),
    (jellyfish.nysiis, 1),
)
"""Codes and their weights in tenths: whole numbers, so that equal distances are exactly equal."""


def codes(word: str) -> tuple[str, str, str, str]:
    """Soundex, Caverphone 2, Metaphone and NYSIIS codes of a word or label.

    Accents are dropped, and so is everything else that is not a letter a-z; labels without any
    such letter all share the empty word's codes.

    >>> codes("bird"), codes("_silence_")[0]
    (('B630', 'PT11111111', 'BRT', 'BAD'), 'S452')
    """
    plain = unicodedata.normalize("NFKD", word).lower()
    letters = re.sub("[^a-z]", "", plain)
    soundex, caver, metaphone, nysiis = (coder(letters) for coder, _ in _CODERS)
    return soundex, caver, metaphone, nysiis


def distance(first: str, second: str) -> float:
    """Phonetic distance of two words; 0 for homophones, typically up to about 4.

    >>> distance("one", "on"), distance("no", "go"), distance("left", "right")
    (0.0, 1.0, 2.2)
    """
    pairs = zip(codes(first), codes(second), _CODERS, strict=True)
    return sum(weight * Levenshtein.distance(a, b) for a, b, (_, weight) in pairs) / 10


def distances(words: Sequence[str]) -> np.ndarray:
    """(words, words) float32 phonetic distances; for a few thousand words at most.

    Raises:
        ConfigError: no words, or the same word twice.
    """
    table = _Table(words)
    return table.tenths(0, len(words)).astype(np.float32) / 10


def neighbours(
    words: Sequence[str],
    k: int | None = None,
    *,
    homophones: str = "hardest",
    chunk: int = 512,
    workers: int = -1,
) -> np.ndarray:
    """Each word's k nearest other words, nearest first, as indices (words, k) int32.

    Words at equal distance come in the order of ``words``.

    Args:
        words: distinct words, for instance the classes of a corpus.
        k: neighbours to keep; None, or more than there are, keeps all others.
        homophones: where distinct words with equal codes (one, on) stand. "hardest": first, as
            the hardest to tell apart. "last": after all others, as in the paper's code, which
            gave every zero distance the same large value as a word's distance to itself.
        chunk: words compared at a time; memory is about 40 bytes * chunk * words.
        workers: threads; -1 for one per core.

    Raises:
        ConfigError: no words, the same word twice, k < 1, or an unknown option.

    Example:
        >>> words = ["on", "off", "one", "up"]
        >>> [words[i] for i in neighbours(words)[0]]
        ['one', 'off', 'up']
        >>> [words[i] for i in neighbours(words, homophones="last")[0]]
        ['off', 'up', 'one']
    """
    if homophones not in HOMOPHONES:
        raise ConfigError(f"homophones must be one of {', '.join(HOMOPHONES)}, got {homophones!r}")
    if (k is not None and k < 1) or chunk < 1:
        raise ConfigError(f"neighbours needs k >= 1 and chunk >= 1, got k={k}, chunk={chunk}")
    table = _Table(words)
    others = len(words) - 1
    k = others if k is None else min(k, others)
    out = np.empty((len(words), k), dtype=np.int32)
    for start in range(0, len(words), chunk):
        # rank by distance, then by index: one integer key makes ties exact and the sort total
        key = table.tenths(start, start + chunk, workers).astype(np.int64)
        if homophones == "last":
            key[key == 0] = 2**31
        rows = np.arange(len(key))
        key[rows, start + rows] = 2**32
        key *= len(words)
        key += np.arange(len(words))
        nearest = np.partition(key, min(k, others), axis=1)[:, :k]
        nearest.sort(axis=1)
        out[start : start + chunk] = nearest % len(words)
    return out


class _Table:
    """The codes of a word list, each distinct code once."""

    def __init__(self, words: Sequence[str]) -> None:
        if not len(words):
            raise ConfigError("phonetic neighbours need at least one word")
        if len(set(words)) < len(words):
            twice = [word for word, count in Counter(words).items() if count > 1][:3]
            raise ConfigError(f"words must be distinct, but {twice} occur more than once")
        columns = np.array([codes(word) for word in words], dtype=object).T
        self.unique = [np.unique(column, return_inverse=True) for column in columns]

    def tenths(self, start: int, end: int, workers: int = -1) -> np.ndarray:
        """Distances, in tenths, of words start..end to all words: (rows, words) int32."""
        total: np.ndarray | int = 0
        for (values, code), (_, weight) in zip(self.unique, _CODERS, strict=True):
            here, row = np.unique(code[start:end], return_inverse=True)
            edits = cdist(
                list(values[here]),
                list(values),
                scorer=Levenshtein.distance,
                dtype=np.int32,
                workers=workers,
            )
            edits *= weight
            total = total + edits[row][:, code]
        assert isinstance(total, np.ndarray)
        return total
