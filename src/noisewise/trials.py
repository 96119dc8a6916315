"""Trials of speaker verification: pairs of utterances, and whether one person speaks in both."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noisewise.errors import ConfigError, CorpusError
from noisewise.files import write_atomic


@dataclass(frozen=True, eq=False)
class Trials:
    """A list of trials over unique utterances, each of which is embedded once.

    Attributes:
        names: the utterances, all different.
        enrol: (trials,) int64 place in ``names`` of the utterance that is known.
        test: (trials,) int64 place of the one that is asked about.
        labels: (trials,) bool, true for targets (one speaker); None where that is not known.

    Raises:
        ConfigError: no trials, lengths that differ, a place outside ``names``, a name twice.

    Example:
        >>> trials = Trials.of([(True, "ann/1", "ann/2"), (False, "ann/1", "ben/1")])
        >>> trials.names, trials.enrol.tolist(), trials.test.tolist()
        (('ann/1', 'ann/2', 'ben/1'), [0, 0], [1, 2])
        >>> [part.tolist() for part in trials.split(np.array([0.8, 0.1]))]
        [[0.8], [0.1]]
    """

    names: tuple[str, ...]
    enrol: np.ndarray
    test: np.ndarray
    labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        shapes = {np.shape(x) for x in (self.enrol, self.test, self.labels) if x is not None}
        if len(shapes) != 1 or len(self.enrol.shape) != 1 or not len(self.enrol):
            raise ConfigError(f"trials need columns of one length, at least 1; got {shapes}")
        for place in (end for x in (self.enrol, self.test) for end in (x.min(), x.max())):
            if not 0 <= place < len(self.names):
                raise ConfigError(f"a trial is of utterance {place}, of {len(self.names)}")
        if len(set(self.names)) < len(self.names):
            raise ConfigError("two utterances of the trials have one name")

    @classmethod
    def of(cls, rows: Iterable[tuple[bool | None, str, str]]) -> Trials:
        """From (label, enrolment, test) rows; utterances are numbered as they appear.

        Raises:
            ConfigError: no rows, or labels in some only.
        """
        place: dict[str, int] = {}
        labels, pairs = [], []
        for label, enrol, test in rows:
            labels.append(label)
            pairs.append((place.setdefault(enrol, len(place)), place.setdefault(test, len(place))))
        unlabelled = labels.count(None)
        if unlabelled not in (0, len(labels)):
            raise ConfigError(f"{unlabelled} of {len(labels)} trials have no label")
        columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T.copy()
        known = None if unlabelled else np.array(labels, dtype=bool)
        return cls(tuple(place), columns[0], columns[1], known)

    def __len__(self) -> int:
        return len(self.enrol)

    def split(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (trials,) of the targets and of the impostors.

        Raises:
            ConfigError: the trials have no labels, or another number of scores.
        """
        if self.labels is None:
            raise ConfigError("these trials have no labels, so targets are not known")
        if np.shape(scores) != self.labels.shape:
            raise ConfigError(f"{len(self)} trials need as many scores, got {np.shape(scores)}")
        return scores[self.labels], scores[~self.labels]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Names of each trial's enrolment and test utterance."""
        for enrol, test in zip(self.enrol.tolist(), self.test.tolist(), strict=True):
            yield self.names[enrol], self.names[test]

    def text(self) -> str:
        """The list as VoxCeleb writes it: ``label enrolment test`` a line, or without label."""
        known = self.labels
        marks = [""] * len(self) if known is None else [f"{int(x)} " for x in known.tolist()]
        pairs = zip(marks, self.pairs(), strict=True)
        return "".join(f"{mark}{enrol} {test}\n" for mark, (enrol, test) in pairs)

    def digest(self) -> str:
        """SHA-256 of `text`, which is that of the file that `write_trials` writes."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def read_trials(path: Path | str) -> Trials:
    """Read a list in VoxCeleb's form: ``label enrolment test`` a line, label 1 for one speaker.

    Lines of two words are trials without labels; a file has one kind. Blank lines are skipped.

    Raises:
        CorpusError: no such file, not text, no trials, or a line that is not of this form.
    """
    return Trials.of(_rows(Path(path)))


def write_trials(path: Path | str, trials: Trials) -> None:
    """Write what `read_trials` reads.

    Raises:
        ConfigError: the name of an utterance is empty or has a space in it.
        OSError: it cannot be written.
    """
    check_names(trials)
    write_atomic(path, trials.text().encode())


def check_names(trials: Trials) -> None:
    """Raise if a name cannot stand in a line of words.

    Raises:
        ConfigError: the name of an utterance is empty or has a space in it.
    """
    for name in trials.names:
        if name.split() != [name]:
            raise ConfigError(f"utterance {name!r}: a list of trials needs names without spaces")


def read_words(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Where each line that is not blank is, for errors, and its words.

    Raises:
        CorpusError: no such file, not text, or nothing but blank lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: cannot be read as text ({error})") from error
    if not text.strip():
        raise CorpusError(f"{path}: has no lines")
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if words:
            yield f"{path}, line {number}", words


def _rows(path: Path) -> Iterator[tuple[bool | None, str, str]]:
    width = 0
    for where, words in read_words(path):
        width = width or len(words)
        if len(words) != width or width not in (2, 3):
            form = "enrolment test" if width == 2 else "label enrolment test"
            raise CorpusError(f"{where}: {' '.join(words)[:80]!r} is not '{form}'")
        if width == 3 and words[0] not in ("0", "1"):
            raise CorpusError(f"{where}: the label must be 0 or 1, got {words[0][:80]!r}")
        yield (words[0] == "1" if width == 3 else None), words[-2], words[-1]


def usable_trials(trials: Trials, names: Container[str]) -> Trials | None:
    """The trials whose utterances are both among ``names``; None without a target or impostor.

    Raises:
        ConfigError: the trials have no labels.
    """
    have = np.array([name in names for name in trials.names])
    kept = have[trials.enrol] & have[trials.test]
    if not all(side.any() for side in trials.split(kept)):
        return None
    if have.all():
        return trials
    rows = zip(trials.labels.tolist(), trials.pairs(), kept, strict=True)  # type: ignore[union-attr]
    return Trials.of((label, *pair) for label, pair, usable in rows if usable)
