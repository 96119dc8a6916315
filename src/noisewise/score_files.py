"""Files of scores: ``enrolment test score`` a line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from noisewise.errors import ConfigError, CorpusError
from noisewise.files import write_atomic
from noisewise.trials import Trials, check_names, read_words


def write_scores(path: Path | str, trials: Trials, scores: np.ndarray) -> None:
    """Write the (trials,) scores of a list; nine digits give back every float32 exactly.

    Raises:
        ConfigError: another number of scores, NaN, or a name with a space in it.
        OSError: it cannot be written.
    """
    values = np.asarray(scores, dtype=np.float32)
    if values.shape != (len(trials),) or np.isnan(values).any():
        raise ConfigError(
            f"{path}: {len(trials)} trials need as many scores, none NaN; got shape {values.shape}"
        )
    check_names(trials)
    lines = zip(trials.pairs(), values.tolist(), strict=True)
    text = "".join(f"{enrol} {test} {score:.9g}\n" for (enrol, test), score in lines)
    write_atomic(path, text.encode())


def read_scores(path: Path | str, trials: Trials) -> np.ndarray:
    """Scores of a list of trials, (trials,) float32 in its order, from a file in any order.

    Scores of other pairs are ignored. The sides of a pair are not exchanged.

    Raises:
        CorpusError: no such file, a line that is not of this form, two scores for a pair, or none.
    """
    path = Path(path)
    place = {name: number for number, name in enumerate(trials.names)}
    keys: list[int] = []
    values: list[float] = []
    for where, words in read_words(path):
        if len(words) != 3:
            raise CorpusError(f"{where}: {' '.join(words)[:80]!r} is not 'enrolment test score'")
        score = _number(words[2])
        if math.isnan(score):
            raise CorpusError(f"{where}: the score must be a number, got {words[2][:80]!r}")
        if words[0] in place and words[1] in place:
            keys.append(place[words[0]] * len(place) + place[words[1]])
            values.append(score)
    found, first, which = np.unique(
        np.array(keys, np.int64), return_index=True, return_inverse=True
    )
    scores = np.array(values, np.float32)
    twice = np.flatnonzero(scores != scores[first][which])
    if len(twice):
        enrol, test = divmod(keys[twice[0]], len(place))
        pair = f"{trials.names[enrol]} {trials.names[test]}"
        raise CorpusError(f"{path}: two scores for '{pair}'")
    wanted = trials.enrol * len(place) + trials.test
    at = np.searchsorted(found, wanted).clip(max=max(0, len(found) - 1))
    absent = np.flatnonzero(found[at] != wanted) if len(found) else np.arange(len(wanted))
    if len(absent):
        enrol, test = trials.enrol[absent[0]], trials.test[absent[0]]
        pair = f"{trials.names[enrol]} {trials.names[test]}"
        raise CorpusError(f"{path}: no score for {len(absent)} trials, the first '{pair}'")
    ordered: np.ndarray = scores[first][at]
    return ordered


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan
