"""From the logits of connectionist temporal classification (Graves et al. 2006) to a text.

A path names a symbol for each frame. It spells what is left when repeats are joined and blanks
are removed, so many paths spell one text, whose probability is their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from noisewise.errors import ConfigError
from noisewise.text import BLANK, Vocabulary

Symbols = tuple[int, ...]
"""Numbers of characters, without blanks."""


def collapse(path: Iterable[int]) -> Symbols:
    """What a path spells: repeats joined, then blanks removed.

    >>> collapse([0, 3, 3, 0, 3, 1, 1])
    (3, 3, 1)
    """
    return tuple(int(symbol) for symbol, _ in groupby(path) if symbol != BLANK)


def greedy(scores: np.ndarray) -> Symbols:
    """What the most probable path spells; (frames, symbols) log-probabilities or logits."""
    return collapse(scores.argmax(1))


def beam_search(log_probs: np.ndarray, width: int | None = None) -> list[tuple[Symbols, float]]:
    """The most probable texts, by prefix beam search (Hannun et al., arXiv 1408.2873; without a
    language model).

    Args:
        log_probs: (frames, symbols) natural logarithms of probabilities.
        width: texts that are kept after each frame; None keeps all, which is exact, and only for
            a few frames.

    Returns:
        At most ``width`` texts with their log-probabilities, the most probable first. With a
        limited width these are lower bounds: paths through texts that were dropped are not in
        them.

    Raises:
        ConfigError: a width below 1.
    """
    if width is not None and width < 1:
        raise ConfigError(f"the width of a beam search must be at least 1, got {width}")
    symbols = log_probs.shape[1]
    texts: list[Symbols] = [()]
    # log-probabilities of the paths that spell each text and end in a blank, or in its last symbol
    blank, last = np.zeros(1), np.full(1, -np.inf)
    for own in np.asarray(log_probs, dtype=np.float64):
        total = np.logaddexp(blank, last)
        ends = np.array([text[-1] if text else BLANK for text in texts])
        stay = np.where(ends == BLANK, -np.inf, last + own[ends])
        longer = total[:, None] + own
        # a symbol is said twice only with a blank between
        longer[np.arange(len(texts)), ends] = blank + own[ends]
        longer[:, BLANK] = -np.inf
        place = {text: i for i, text in enumerate(texts)}
        for i, text in enumerate(texts):
            parent = place.get(text[:-1]) if text else None
            if parent is not None:  # both ways to one text
                stay[i] = np.logaddexp(stay[i], longer[parent, text[-1]])
                longer[parent, text[-1]] = -np.inf
        waited = total + own[BLANK]
        scores = np.concatenate([np.logaddexp(waited, stay), longer.ravel()])
        order = np.argsort(-scores, kind="stable")[:width]
        order = order[scores[order] > -np.inf]
        kept, made = len(texts), []
        for number in order.tolist():
            parent, symbol = divmod(number - kept, symbols)
            made.append(texts[number] if number < kept else (*texts[parent], symbol))
        said = np.full(longer.size, -np.inf)  # no path of a longer text ends in a blank yet
        blank = np.concatenate([waited, said])[order]
        last = np.concatenate([stay, longer.ravel()])[order]
        texts = made
    total = np.logaddexp(blank, last)
    order = np.argsort(-total, kind="stable")
    return [(texts[i], float(total[i])) for i in order.tolist()]


def transcribe(logits: Tensor, lengths: Tensor, vocabulary: Vocabulary, beam: int = 0) -> list[str]:
    """The text of each clip of a batch.

    Args:
        logits: (batch, frames, symbols).
        lengths: (batch,) frames that belong to each clip.
        vocabulary: of the symbols.
        beam: width of the beam search; 0 takes the most probable path.

    Raises:
        ConfigError: a negative width.
    """
    if beam < 0:
        raise ConfigError(f"beam must be 0 (greedy) or a width, got {beam}")
    return [vocabulary.decode(symbols) for symbols in _spelt(logits, lengths, beam)]


def _spelt(logits: Tensor, lengths: Tensor, beam: int) -> Iterator[Symbols]:
    logits = logits.detach()
    scores = torch.log_softmax(logits.double(), 2) if beam else logits.float()
    for own, count in zip(scores.cpu().numpy(), lengths.tolist(), strict=True):
        yield beam_search(own[:count], beam)[0][0] if beam else greedy(own[:count])
