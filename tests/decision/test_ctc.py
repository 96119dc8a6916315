"""CTC decoding against sums over all paths, one by one."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from noisewise.decision.ctc import beam_search, collapse, greedy, transcribe
from noisewise.errors import ConfigError
from noisewise.seeding import rng
from noisewise.text import Vocabulary


@st.composite
def log_probabilities(draw, frames=4, symbols=3):
    shape = draw(st.integers(0, frames)), draw(st.integers(1, symbols))
    scores = draw(arrays(np.float64, shape, elements=st.floats(-6, 6)))
    return scores - np.logaddexp.reduce(scores, 1, keepdims=True)


def all_texts(log_probs):
    """Text -> log of the summed probability of every path that spells it."""
    frames, symbols = log_probs.shape
    found = {}
    for path in product(range(symbols), repeat=frames):
        own = sum(log_probs[frame, symbol] for frame, symbol in enumerate(path))
        text = spelt(path)
        found[text] = np.logaddexp(found.get(text, -np.inf), own)
    return found


def spelt(path):
    """By the definition: runs become one symbol, then blanks go."""
    runs = [symbol for i, symbol in enumerate(path) if i == 0 or path[i - 1] != symbol]
    return tuple(symbol for symbol in runs if symbol != 0)


@given(path=st.lists(st.integers(0, 3)))
def test_collapse_is_the_definition(path):
    assert collapse(path) == collapse(np.array(path, dtype=np.int64)) == spelt(path)


@given(log_probs=log_probabilities())
def test_greedy_is_the_best_path(log_probs):
    frames, symbols = log_probs.shape
    paths = list(product(range(symbols), repeat=frames))
    score = [sum(log_probs[i, s] for i, s in enumerate(path)) for path in paths]
    best = {spelt(path) for path, own in zip(paths, score, strict=True) if own >= max(score) - 1e-9}
    assert greedy(log_probs) in best


@given(log_probs=log_probabilities())
def test_an_unlimited_beam_has_every_text_with_its_probability(log_probs):
    expected = all_texts(log_probs)
    found = beam_search(log_probs)
    assert {text for text, _ in found} == set(expected)
    assert len(found) == len(expected)
    for text, score in found:
        assert score == pytest.approx(expected[text], abs=1e-9)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert np.logaddexp.reduce(scores) == pytest.approx(0, abs=1e-9)


@given(log_probs=log_probabilities(frames=5), width=st.integers(1, 400))
def test_a_limited_beam_is_a_lower_bound_and_exact_when_wide(log_probs, width):
    expected = all_texts(log_probs)
    found = beam_search(log_probs, width)
    assert len(found) <= width
    assert len({text for text, _ in found}) == len(found)
    assert all(score <= expected[text] + 1e-9 for text, score in found)
    if width >= len(expected) * 4:  # nothing was dropped on the way
        assert found[0][1] == pytest.approx(max(expected.values()), abs=1e-9)


def test_the_best_text_need_not_be_that_of_the_best_path():
    log_probs = np.log(np.array([[0.4, 0.35, 0.25], [0.4, 0.35, 0.25]]))
    assert greedy(log_probs) == ()
    assert beam_search(log_probs, 3)[0][0] == (1,)


def test_symbols_that_cannot_be_are_never_said():
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    found = beam_search(log_probs)
    assert [text for text, _ in found] == [(1,)]
    assert found[0][1] == pytest.approx(0)


def test_scores_are_those_of_torch():
    log_probs = torch.from_numpy(rng(0, "ctc").normal(size=(12, 5))).log_softmax(1)
    for text, score in beam_search(log_probs.numpy(), 2000)[:5]:
        loss = torch.nn.functional.ctc_loss(
            log_probs, torch.tensor(text), torch.tensor(12), torch.tensor(len(text))
        )
        mean = loss.item() * len(text)  # the default divides by the length of the target
        assert score == pytest.approx(-mean, rel=1e-3)


@pytest.mark.parametrize("beam", [0, 1, 8])
def test_transcripts_look_at_own_frames_only(beam):
    vocabulary = Vocabulary("ab ")
    logits = torch.from_numpy(rng(0, beam).normal(size=(3, 9, 4))).float()
    lengths = torch.tensor([9, 4, 0])
    together = transcribe(logits, lengths, vocabulary, beam)
    padded = torch.cat([logits, torch.full((3, 5, 4), 9.0)], 1)
    assert transcribe(padded, lengths, vocabulary, beam) == together
    for row, length in enumerate(lengths.tolist()):
        scores = logits[row, :length].log_softmax(1).double().numpy()
        own = beam_search(scores, beam)[0][0] if beam else greedy(scores)
        assert together[row] == vocabulary.decode(own)
    assert together[2] == ""


@pytest.mark.parametrize("width", [0, -1])
def test_impossible_widths(width):
    with pytest.raises(ConfigError, match="width of a beam search must be at least 1"):
        beam_search(np.zeros((1, 2)), width)
    with pytest.raises(ConfigError, match="beam must be 0"):
        transcribe(torch.zeros(1, 1, 2), torch.ones(1, dtype=torch.int64), Vocabulary("a"), -1)
