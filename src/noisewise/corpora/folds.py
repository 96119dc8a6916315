"""Folds of cross-validation: each in turn is the test, and the rest is for training.

A fold is a value of a label column or of ``speaker``, or a group of such values. The speakers of a
fold are in no other part; a corpus whose column would put them on both sides is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict

from noisewise.corpora.base import Corpus, assert_disjoint
from noisewise.errors import ConfigError, CorpusError
from noisewise.seeding import fraction

GENDER = "gender"
"""Label column by which groups are balanced, where a corpus has it."""
SHORT = 5
"""Texts of fewer words may be in test and training alike: everybody says "I know"."""


def fold_values(corpus: Corpus, by: str, number: int | None = None) -> dict[str, list[str]]:
    """Fold -> the values of ``by`` that are in it.

    Without ``number`` each value is a fold of its name, sorted. With it there are so many folds,
    named 1, 2 ...; values are dealt out by their number of clips, the largest first, each to the
    fold with the fewest clips so far, and the first of those. Where the corpus has a column
    ``gender``, values of one gender are dealt out first, then the next; the fold is then the one
    with the fewest clips of that gender, and of those the one with the fewest clips. So 12 actors
    of two genders make 4 folds of 3 actors, and none of a single gender.

    Args:
        corpus: its rows.
        by: a label column, or "speaker". Rows without a value are in no fold.
        number: of folds; None for one a value.

    Raises:
        ConfigError: no such column, no values in it, or fewer values than folds.
    """
    if by not in (*corpus.labels, "speaker"):
        raise ConfigError(
            f"corpus {corpus.name!r} has no column {by!r} to make folds by; it has speaker, "
            f"{', '.join(corpus.labels)}"
        )
    column = corpus.rows[by][:]
    clips = Counter(value for value in column if value is not None)
    if not clips or (number is not None and not 2 <= number <= len(clips)):
        wanted = "folds" if number is None else f"{number} folds (at least 2)"
        raise ConfigError(
            f"corpus {corpus.name!r}: no {wanted} by {by!r}, which has {len(clips)} values"
        )
    if number is None:
        return {value: [value] for value in sorted(clips)}
    genders: dict[str, set[str]] = defaultdict(set)
    if GENDER in corpus.labels:
        for value, gender in zip(column, corpus.rows[GENDER][:], strict=True):
            genders[value].add(gender or "")
    # a value of several genders counts as one without
    gender_of = {v: next(iter(g)) if len(g) == 1 else "" for v, g in genders.items()}
    order = sorted(clips, key=lambda value: (gender_of.get(value, ""), -clips[value], value))
    folds: list[list[str]] = [[] for _ in range(number)]
    sizes: list[Counter[str]] = [Counter() for _ in range(number)]
    for value in order:
        gender = gender_of.get(value, "")
        place = min(range(number), key=lambda n: (sizes[n][gender], sizes[n].total(), n))
        folds[place].append(value)
        sizes[place][gender] += clips[value]
    return {str(n): sorted(values) for n, values in enumerate(folds, 1)}


def with_fold(
    corpus: Corpus,
    fold: str,
    by: str,
    number: int | None,
    seed: int,
    validation: float = 0.15,
    text_disjoint: str | None = None,
) -> Corpus:
    """The corpus with a fold as its test part, whatever its official split.

    Args:
        corpus: with speakers where they are known.
        fold: one of `fold_values`.
        by, number: see `fold_values`.
        seed: of the choice of validation speakers.
        validation: share of the other speakers to select on, at least one; a clip without a
            speaker counts as one.
        text_disjoint: name of a text column. Rows of training and validation are left out whose
            text of 5 words or more, but for case and punctuation, is one of the test's.

    Raises:
        ConfigError: no such fold or column, or a share outside 0..1.
        CorpusError: a speaker on both sides, or nobody left to train or to validate on.
    """
    folds = fold_values(corpus, by, number)
    if fold not in folds:
        raise ConfigError(f"no fold {fold!r} by {by!r}; there are {', '.join(folds)}")
    if not 0 < validation < 1:
        raise ConfigError(f"the share of validation must be between 0 and 1, got {validation}")
    if text_disjoint is not None and text_disjoint not in corpus.labels:
        raise ConfigError(f"corpus {corpus.name!r} has no column {text_disjoint!r} of texts")
    tested = set(folds[fold])
    speakers = corpus.rows["speaker"][:]
    ids = corpus.rows["id"][:]
    people = [s if s is not None else f"id:{i}" for s, i in zip(speakers, ids, strict=True)]
    is_test = [value in tested for value in corpus.rows[by][:]]
    others = {who for who, test in zip(people, is_test, strict=True) if not test}
    if len(others) < 2:
        raise CorpusError(f"fold {fold!r}: leaves {len(others)} speakers to train and validate on")
    order = sorted(others, key=lambda who: (fraction(seed, "validation of folds", who), who))
    chosen = set(order[: min(len(order) - 1, max(1, round(validation * len(order))))])
    splits = [
        "test" if test else "validation" if who in chosen else "train"
        for who, test in zip(people, is_test, strict=True)
    ]
    folded = corpus.split_as(splits)
    if text_disjoint is not None:
        texts = [normalised(text) for text in corpus.rows[text_disjoint][:]]
        heard = {t for t, test in zip(texts, is_test, strict=True) if test and _is_long(t)}
        kept = [n for n, text in enumerate(texts) if is_test[n] or text not in heard]
        folded = folded.only(kept)
    try:
        assert_disjoint(*(folded.split(part) for part in ("train", "validation", "test")))
    except CorpusError as error:
        raise CorpusError(f"fold {fold!r} by {by!r}: {error}") from error
    return folded


def fingerprint(corpus: Corpus, by: str) -> str:
    """Hash of the clips' ids and what each has in the column ``by``: the same folds, or others."""
    pairs = sorted(zip(corpus.rows["id"][:], map(str, corpus.rows[by][:]), strict=True))
    text = "\n".join("\x1f".join(pair) for pair in pairs)
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def normalised(text: str | None) -> str:
    """A text in lower case without punctuation and extra space.

    >>> normalised(" Don't -- you  KNOW? ")
    "don't you know"
    """
    return " ".join(re.findall(r"[^\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W_]+)*",
                               (text or "").lower()))  # fmt: skip


def _is_long(text: str) -> bool:
    return len(text.split()) >= SHORT
