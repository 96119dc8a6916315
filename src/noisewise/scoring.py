"""Cosine scores of verification trials, from whole utterances, from their segments, or both.

Averaging the cosines of all pairs of segments, as the noise-adaptive system of Interspeech 2024
(doi 10.21437/Interspeech.2024-1630) and many before it test, needs no pairs: the mean of a_i . b_j
over all i and j is the product of the means of a_i and of b_j.
"""

from __future__ import annotations

import numpy as np

from noisewise.errors import ConfigError
from noisewise.metrics.cosine import pair_dots, unit_length
from noisewise.trials import Trials


def score(trials: Trials, embeddings: np.ndarray) -> np.ndarray:
    """Cosine of each trial, (trials,) float32.

    Args:
        trials: over utterances 0 to utterances - 1.
        embeddings: (utterances, dim) in the order of ``trials.names``, any length.

    Raises:
        ConfigError: another number of embeddings, or one without direction.
    """
    return pair_dots(_units(trials, embeddings, 2), trials.enrol, trials.test)


def score_segments(trials: Trials, segments: np.ndarray) -> np.ndarray:
    """Mean cosine of all pairs of a segment of the one and of the other, (trials,) float32.

    Args:
        trials: over utterances 0 to utterances - 1.
        segments: (utterances, segments, dim) embeddings of equally many crops of each.

    Raises:
        ConfigError: as `score`.
    """
    return pair_dots(_units(trials, segments, 3).mean(1), trials.enrol, trials.test)


def score_full(trials: Trials, embeddings: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Mean of `score` and `score_segments`, (trials,) float32."""
    both: np.ndarray = (score(trials, embeddings) + score_segments(trials, segments)) / 2
    return both


def _units(trials: Trials, vectors: np.ndarray, axes: int) -> np.ndarray:
    if np.ndim(vectors) != axes or len(vectors) != len(trials.names):
        raise ConfigError(
            f"{len(trials.names)} utterances need as many embeddings, in {axes} axes; got shape "
            f"{np.shape(vectors)}"
        )
    return unit_length(vectors)
