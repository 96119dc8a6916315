"""Adaptive symmetric normalisation of scores, AS-norm.

A score is measured against how its two utterances score with a cohort of other speakers, each
with the ``top_n`` of them that are most like it, so that one threshold fits utterances from quiet
and noisy places alike. This is the variant in which each side picks its own cohort (Matejka et
al., "Analysis of score normalization in multilingual speaker recognition", Interspeech 2017;
cohorts picked by the trial go back to Karam et al., ICASSP 2011, and Cumani et al., Interspeech
2011). With ``top_n`` as large as the cohort it is S-norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from noisewise.errors import ConfigError
from noisewise.metrics.cosine import unit_length

BLOCK = 2**22
"""Cohort scores held at a time: 16 MB."""


@dataclass(frozen=True, eq=False)
class CohortStats:
    """Statistics of each utterance's highest cohort scores.

    Attributes:
        mean: (utterances,) float32.
        std: (utterances,) float32 standard deviation, of divisor n, above 0.
    """

    mean: np.ndarray
    std: np.ndarray


def cohort_means(embeddings: np.ndarray, speakers: Sequence[str]) -> np.ndarray:
    """A cohort of one vector a speaker: (speakers, dim) float32, unit length, sorted by name.

    Args:
        embeddings: (clips, dim); each counts with unit length.
        speakers: (clips,) who speaks.

    Raises:
        ConfigError: lengths that differ, no clips, or a vector (or mean) without direction.
    """
    if len(embeddings) != len(speakers) or not len(speakers):
        raise ConfigError(
            f"a cohort needs a speaker for each embedding, at least one; got {len(embeddings)} "
            f"embeddings and {len(speakers)} speakers"
        )
    names, index = np.unique(np.asarray(speakers), return_inverse=True)
    sums = np.zeros((len(names), np.shape(embeddings)[1]), np.float32)
    np.add.at(sums, index, unit_length(embeddings))
    return unit_length(sums)


def cohort_stats(embeddings: np.ndarray, cohort: np.ndarray, top_n: int = 300) -> CohortStats:
    """Mean and standard deviation of the ``top_n`` highest cosines of each utterance to a cohort.

    Cosines are computed and reduced in blocks of `BLOCK`, whatever the number of utterances.

    Args:
        embeddings: (utterances, dim), any length.
        cohort: (cohort, dim), any length: `cohort_means`, or single clips. Its speakers should be
            none of those of the trials.
        top_n: cohort scores that count, at least 2; all where the cohort has fewer.

    Raises:
        ConfigError: fewer than two scores to count, sizes that differ, a vector without
            direction, or an utterance whose highest scores are all equal.
    """
    vectors, others = (torch.from_numpy(unit_length(x)) for x in (embeddings, cohort))
    kept = min(top_n, len(others))
    if kept < 2:
        raise ConfigError(f"top_n and the cohort must be at least 2, got {top_n}, {len(others)}")
    if vectors.shape[1] != others.shape[1]:
        raise ConfigError(
            f"embeddings of {vectors.shape[1]} dimensions, but a cohort of {others.shape[1]}"
        )
    mean, std = torch.empty(len(vectors)), torch.empty(len(vectors))
    rows = max(1, BLOCK // len(others))
    for start in range(0, len(vectors), rows):
        part = slice(start, start + rows)
        top = (vectors[part] @ others.T).topk(kept, dim=1, sorted=False).values
        std[part], mean[part] = torch.std_mean(top, dim=1, correction=0)
    if not (std > 0).all():
        flat = int((std <= 0).nonzero()[0])
        raise ConfigError(f"embedding {flat}: its {kept} highest cohort scores are all equal")
    return CohortStats(mean.numpy(), std.numpy())


def as_norm(
    scores: np.ndarray,
    enrol_index: np.ndarray,
    test_index: np.ndarray,
    enrol_stats: CohortStats,
    test_stats: CohortStats,
) -> np.ndarray:
    """Normalised scores, (trials,) float32: the mean of what each side's statistics make of one.

    ((s - mean_enrol) / std_enrol + (s - mean_test) / std_test) / 2.

    Args:
        scores: (trials,) cosines.
        enrol_index: (trials,) int64 place of each trial's enrolment in ``enrol_stats``.
        test_index: (trials,) likewise in ``test_stats``.
        enrol_stats: of the enrolment utterances, or of all.
        test_stats: of the test utterances, or of all.

    Raises:
        ConfigError: lengths that differ.
    """
    scores = np.asarray(scores, dtype=np.float32)
    if not scores.shape == np.shape(enrol_index) == np.shape(test_index):
        raise ConfigError(
            "AS-norm needs one enrolment and one test utterance a score; got shapes "
            f"{scores.shape}, {np.shape(enrol_index)} and {np.shape(test_index)}"
        )
    by_enrol = (scores - enrol_stats.mean[enrol_index]) / enrol_stats.std[enrol_index]
    by_test = (scores - test_stats.mean[test_index]) / test_stats.std[test_index]
    normalised: np.ndarray = (by_enrol + by_test) / 2
    return normalised
