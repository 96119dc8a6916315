"""Terms of further tasks, against sums over all alignments and logits by hand."""

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import noisewise
from noisewise.backend.transcribers import CTCTranscriber
from noisewise.decision.ctc import collapse
from noisewise.errors import ConfigError
from noisewise.model import Output, SpeechModel
from noisewise.recipe import load_recipe
from noisewise.seeding import torch_rng
from noisewise.text import Vocabulary
from noisewise.training.objective import Batch
from noisewise.training.run import train
from noisewise.training.task_terms import CTCTerm, SpeakerTerm, needed_frames
from noisewise.types import Frames

LETTERS, DIM = "ab", 3
FRAMES = (4, 3, 4, 2, 4)
TEXTS = ["ab", "A!", None, "bb", " ?"]  # the fourth needs three frames


def model():
    torch.manual_seed(0)
    upstream, backend = nn.Identity(), nn.Identity()
    return SpeechModel(upstream, backend, transcriber=CTCTranscriber(DIM, vocabulary=LETTERS))


def heard(made, rows=(0, 1, 2, 3, 4), extra=0, bad=0.0):
    """What the model makes of frames, and what is to be said about them."""
    rows = list(rows)
    values = torch.randn(1, len(FRAMES), 4, DIM, generator=torch_rng(0))[:, rows]
    frames = Frames(values, torch.tensor(FRAMES)[rows])
    values = torch.where(frames.mask()[None, :, :, None], values, bad)
    frames = frames.with_values(nn.functional.pad(values, (0, 0, 0, extra), value=bad))
    embedding = torch.randn(len(FRAMES), DIM, generator=torch_rng(1))[rows].requires_grad_()
    output = Output(None, frames, embedding, {}, made, made.transcriber(frames))
    labels, names = torch.zeros(len(rows), dtype=torch.int64), ["ann", "ben", None, "eve", "ben"]
    values = {"text": [TEXTS[row] for row in rows], "speaker": [names[row] for row in rows]}
    return Batch(None, None, labels, torch_rng(0), values=values), output


def by_hand(logits, frames, text):
    """-log of the summed probability of all paths that spell the text, by its length."""
    log_probs = logits[:frames].detach().double().log_softmax(1).numpy()
    goal, total = tuple(Vocabulary(LETTERS).encode(text)), 0.0
    for path in product(range(len(LETTERS) + 1), repeat=frames):
        if collapse(path) == goal:
            total += np.exp(sum(log_probs[i, symbol] for i, symbol in enumerate(path)))
    return -np.log(total) / len(goal)


def test_ctc_is_the_mean_over_texts_of_all_alignments():
    batch, output = heard(model())
    loss, figures = CTCTerm()(batch, output, None)
    own = [by_hand(output.transcript[row], FRAMES[row], TEXTS[row]) for row in (0, 1)]
    assert loss.item() == pytest.approx(np.mean(own), rel=1e-4)
    assert figures["too_short"] == 1
    assert figures["train_cer"] >= 0


def test_padding_and_clips_without_a_text_change_nothing():
    made = model()
    expected = CTCTerm()(*heard(made, [0, 1]), None)[0]
    for rows, extra in (([0, 1, 2, 4], 0), ([1, 3, 0], 5), (range(5), 2)):
        loss, _ = CTCTerm()(*heard(made, rows, extra, bad=9.0), None)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_only_own_frames_of_clips_with_a_text_teach():
    made = model()
    batch, output = heard(made, extra=2)
    output.transcript.retain_grad()
    CTCTerm()(batch, output, None)[0].backward()
    gradient = output.transcript.grad.abs().sum(2)
    assert (gradient[[0, 1]] > 0).tolist() == output.frames.mask()[[0, 1]].tolist()
    assert not gradient[2:].any()


@pytest.mark.parametrize("rows", [[2], [3], [4, 2, 3]])
def test_nothing_to_learn_is_a_loss_of_zero_with_a_gradient(rows):
    made = model()
    loss, figures = CTCTerm()(*heard(made, rows), None)
    loss.backward()
    assert loss.item() == 0
    assert not made.transcriber.linear.weight.grad.any()
    assert "train_cer" not in figures


def test_a_text_needs_a_frame_a_symbol_and_one_between_equal_ones():
    log_probs = torch.zeros(1, 6, 4).log_softmax(2).transpose(0, 1)
    for goal in ([1], [1, 1], [1, 2, 2, 2], [3, 3, 1, 1]):
        for frames in range(1, 7):
            args = torch.tensor([goal]), torch.tensor([frames]), torch.tensor([len(goal)])
            loss = nn.functional.ctc_loss(log_probs, *args, reduction="sum")
            assert loss.isfinite().item() == (frames >= needed_frames(goal))


def test_ctc_needs_a_transcriber():
    batch, output = heard(model())
    output.transcript = None
    with pytest.raises(ConfigError, match=r"set model\.transcriber"):
        CTCTerm()(batch, output, None)


def speaker_term(made, **options):
    term = SpeakerTerm(speakers=["ann", "ben", "cem"], dim=DIM, **options)
    term.head = "phase-1"
    made.objectives[term.head] = term.module(None, None)
    return term


def test_speakers_are_told_apart_by_a_linear_layer_on_the_embedding():
    made = model()
    term = speaker_term(made, scale=4.0)
    batch, output = heard(made)
    loss, figures = term(batch, output, None)
    layer, goals = made.objectives["phase-1"], {0: 0, 1: 1, 4: 1}  # eve is no training speaker
    logits = layer(output.embedding).detach()
    assert logits.shape == (5, 3)
    own = [-logits[row].log_softmax(0)[goal].item() for row, goal in goals.items()]
    assert loss.item() == pytest.approx(np.mean(own), rel=1e-5)
    right = [int(logits[row].argmax()) == goal for row, goal in goals.items()]
    assert figures == {"speaker_accuracy": pytest.approx(np.mean(right))}
    loss.backward()
    assert (output.embedding.grad.abs().sum(1) > 0).tolist() == [row in goals for row in range(5)]
    assert term(*heard(made, [0, 1, 4]), None)[0].item() == pytest.approx(loss.item(), rel=1e-5)


def test_batches_of_strangers():
    made = model()
    term = speaker_term(made)
    loss, figures = term(*heard(made, [2, 3]), None)
    loss.backward()
    assert (loss.item(), figures) == (0, {})


@pytest.mark.parametrize("speakers", [[], ["ann"]])
def test_too_few_speakers(speakers):
    with pytest.raises(ConfigError, match=f"tells speakers apart, and got {len(speakers)}"):
        SpeakerTerm(speakers=speakers, dim=DIM).module(None, None)


PROCESS = """
sys.path.insert(0, sys.argv[3])
from test_task_terms import CTCTerm, heard, model, speaker_term

made = model()
terms = [CTCTerm(), speaker_term(made)]
rows = [[2, 0, 1], [3, 4]][rank]
batch = heard(made, rows)
share = 2 * len(rows) / 5  # as the loop weighs it; then the mean over processes is taken
found = [share * term(*batch, None)[0].item() for term in terms]
"""


def test_means_of_two_processes_are_those_of_the_joint_batch(processes, tmp_path):
    parts = np.array(processes.pair(PROCESS, tmp_path, Path(__file__).parent))
    made = model()
    terms = [CTCTerm(), speaker_term(made)]
    joint = [term(*heard(made), None)[0].item() for term in terms]
    np.testing.assert_allclose(parts.mean(0), joint, rtol=1e-5)


def test_learning_all_three_tasks_lowers_their_losses(spoken_run):
    with (spoken_run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))

    def mean(name, part):
        return np.mean([float(row[name]) for row in part])

    for name in ("loss_ctc", "train_cer", "loss_crossentropy", "loss_speaker"):
        assert mean(name, rows[-8:]) < 0.8 * mean(name, rows[:8]), name
    assert mean("too_short", rows) == 0


def test_what_was_learnt_is_in_the_run_folder_but_for_the_speakers(spoken_run):
    stages = {name.split(".")[0] for name in noisewise.load(spoken_run).model.state_dict()}
    assert stages == {"upstream", "heads", "transcriber"}


def test_a_weight_of_zero_leaves_out_a_task_whole(spoken_settings, tmp_path):
    """Beside it, training gives the same weights as without the task."""
    lines, short = [], {"phases.0.steps": 2, "phases.0.validate_every": 2}
    objective = [{"name": "cross_entropy"}, {"name": "ctc", "weight": 0}]
    objective.append({"name": "speaker", "weight": 0.0})
    idle = train(
        load_recipe("kws-softmax", spoken_settings | short | {"phases.0.objective": objective}),
        tmp_path / "idle",
        say=lines.append,
    )
    alone = spoken_settings | short | {"phases.0.objective": objective[:1]}
    alone["model.transcriber"] = None
    without = train(load_recipe("kws-softmax", alone), tmp_path / "without")
    assert "no term of the objective trains the transcriber: the model gets none" in lines
    assert idle.config == without.config
    assert idle.model.transcriber is None
    states = [bundle.model.state_dict() for bundle in (idle, without)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert "ctc" not in (tmp_path / "idle" / "log.csv").read_text()
