"""Slot decisions: posteriors against PyTorch, the combined rule against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.backend.heads import CosineHead, LinearHead
from noisewise.corpora.base import make_rows
from noisewise.corpora.slots import Slots
from noisewise.decision.slots import SlotHeads
from noisewise.errors import ConfigError

VALUES = {"zone": ["", "kitchen", "attic"], "action": ["on", "off"]}
"""Not in the order of the alphabet, and one that can be left out."""


def slots(table=((0, 0), (1, 1), (2, 0))):
    table = np.array(table)
    names = [" ".join(filter(None, (VALUES["zone"][a], VALUES["action"][b]))) for a, b in table]
    return Slots(VALUES, names, table)


def rule(seed=0, known_only=True, **changes):
    torch.manual_seed(seed)
    heads = {name: LinearHead(4, len(own), scale=3.0) for name, own in VALUES.items()}
    for head in heads.values():
        torch.nn.init.normal_(head.linear.weight)
        torch.nn.init.constant_(head.activation.weight, 0.1 + seed % 3)
    return SlotHeads.of(heads, slots(**changes), known_only), heads


def embeddings(seed=0, n=40):
    return np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)


def test_posteriors_are_those_of_the_heads():
    made, heads = rule()
    x = embeddings()
    for ours, head in zip(made.posteriors(x), heads.values(), strict=True):
        theirs = head(torch.from_numpy(x)).log_softmax(1).detach().numpy()
        assert np.allclose(ours, theirs, atol=1e-5)


@given(st.integers(0, 99), st.booleans())
def test_the_answer_is_the_best_combination(seed, known_only):
    made, _ = rule(seed, known_only)
    x = embeddings(seed, 12)
    zone, action = (np.exp(own) for own in made.posteriors(x))
    answer = made.answer(x)
    for n in range(len(x)):
        allowed = [
            (a, b)
            for a in range(3)
            for b in range(2)
            if not known_only or [a, b] in made.table.tolist()
        ]
        best = max(allowed, key=lambda pair: zone[n, pair[0]] * action[n, pair[1]])
        assert tuple(answer.values[n]) == best
        assert np.isclose(answer.score[n], zone[n, best[0]] * action[n, best[1]], atol=1e-6)
        known = made.table.tolist().index(list(best)) if list(best) in made.table.tolist() else -1
        assert answer.label[n] == known
    assert answer.accepted.all()
    assert made.scores(x).sum(1).max() <= 1 + 1e-6


def test_own_combination_can_be_left_out():
    made, _ = rule()
    x, labels = embeddings(n=3), np.array([0, -1, 2])
    scores = made.scores_without(x, labels)
    assert scores[0, 0] == scores[2, 2] == 0
    assert np.array_equal(scores[1], made.scores(x)[1])


def test_truth_and_the_share_of_slots_answered_rightly():
    made, _ = rule(known_only=False)
    lines = [("attic", "off"), (None, "on"), ("cellar", "on")]
    rows = make_rows(
        [
            {"id": str(n), "audio": "x.wav", "zone": zone, "action": action}
            for n, (zone, action) in enumerate(lines)
        ],
        tuple(VALUES),
    )
    truth = made.truth(rows, "order")
    assert truth.tolist() == [[2, 1], [0, 0], [-1, 0]]
    x = embeddings(n=3)
    right = sum(
        int(said == own)
        for line, own_line in zip(made.answer(x).values, truth, strict=True)
        for said, own in zip(line, own_line, strict=True)
    )
    assert made.right(x, truth) == pytest.approx(right / 6)


def test_answers_are_said_slot_by_slot_and_named():
    made, _ = rule(known_only=False)
    answer = made.answer(embeddings())
    for said, name in zip(made.said(answer), made.named(answer), strict=True):
        assert list(said) == list(VALUES)
        assert "" not in said.values()
        assert name == " ".join(filter(None, said.values()))


def test_state_and_options_restore_the_rule_in_the_order_of_its_slots():
    made, _ = rule(known_only=False)
    again = SlotHeads(made.labels, **made.state(), **made.options())
    x = embeddings()
    assert np.array_equal(again.answer(x).values, made.answer(x).values)
    assert again.said(again.answer(x)) == made.said(made.answer(x))


def test_what_slots_cannot_do():
    made, heads = rule()
    with pytest.raises(ConfigError, match="train with the new value"):
        made.enroll("cellar on", embeddings())
    with pytest.raises(ConfigError, match="linear heads"):
        SlotHeads.of({"zone": heads["zone"]}, slots(), True)
    with pytest.raises(ConfigError, match="linear heads"):
        SlotHeads.of({**heads, "action": CosineHead(4, 2)}, slots(), True)
    with pytest.raises(ConfigError, match="do not fit"):
        SlotHeads(made.labels, **made.state(), slots=["zone"], values=[["", "kitchen"]])
    with pytest.raises(ConfigError, match="values of 0"):
        SlotHeads(made.labels, **made.state(), slots=["zone"])
    assert made.calibrate(embeddings(), np.zeros(40), 0.05) == -np.inf
    assert made.threshold is None
