"""Run folders: what training writes is what `load` opens, and nothing in one can run code."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

import noisewise
from noisewise import audio
from noisewise.bundle import build_model, seen_key, seen_keys
from noisewise.decision.neighbours import Neighbours
from noisewise.errors import BundleError
from noisewise.recipe import ModelConfig
from noisewise.types import Waves

FILES = ["README.md", "config.json", "decision.safetensors", "labels.json", "model.safetensors"]


@pytest.fixture
def run(toy_run, tmp_path):
    return shutil.copytree(toy_run, tmp_path / "run")


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_saved_and_loaded_answers_are_equal(run, tmp_path):
    bundle = noisewise.load(run)
    again = noisewise.load(noisewise.save(bundle, tmp_path / "copy"))
    clips = [np.random.default_rng(i).standard_normal(4000 + i).astype("f4") for i in range(3)]
    assert np.array_equal(bundle.embed(clips), again.embed(clips))
    assert again.labels == bundle.labels
    assert again.decision.threshold == bundle.decision.threshold
    assert again.seen == bundle.seen
    for name in FILES:
        assert (tmp_path / "copy" / name).read_bytes() == (run / name).read_bytes()


def test_embeddings_have_unit_length_and_ignore_batch_mates(run):
    bundle = noisewise.load(run)
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal(n).astype("f4") for n in (1, 900, 5000, 16000, 31000)]
    together = bundle.embed(clips)
    alone = np.concatenate([bundle.embed([clip]) for clip in clips])
    assert np.abs(together - alone).max() < 1e-5
    assert np.allclose(np.linalg.norm(together[1:], axis=1), 1, atol=1e-5)


def test_predictions_name_what_is_wrong_and_go_on(run, toy_corpus, tmp_path):
    good = sorted(toy_corpus.rglob("*.wav"))[0]
    (tmp_path / "empty.wav").write_bytes(b"")
    answers = list(noisewise.load(run).predict([str(good), tmp_path / "empty.wav", str(good)]))
    assert [a.error is None for a in answers] == [True, False, True]
    assert answers[0].nearest in ("fall", "hum", "rise")
    assert answers[0].label in (None, answers[0].nearest)
    assert "empty.wav: empty file" in answers[1].error
    assert answers[0].score == answers[2].score


def test_the_card_says_what_the_model_is(run):
    card = (run / "README.md").read_text()
    for words in ("task: keyword", "classes: fall, hum, rise", "false-accept rate of 0.05"):
        assert words in card


@pytest.mark.parametrize("name", [*FILES[1:], "seen.json"])
def test_incomplete_folders(run, name):
    (run / name).unlink()
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        noisewise.load(run)


@pytest.mark.parametrize("name", ["decision.safetensors", "labels.json", "model.safetensors"])
def test_altered_files(run, name):
    data = bytearray((run / name).read_bytes())
    data[-3] ^= 1
    (run / name).write_bytes(bytes(data))
    with pytest.raises(BundleError, match="does not match its checksum"):
        noisewise.load(run)


def test_altered_settings(run):
    edit(run / "config.json", lambda c: c["decision"].update(threshold=-1.0))
    with pytest.raises(BundleError, match=r"config\.json was altered"):
        noisewise.load(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["model"]["upstream"].update(name="os.system"),
        lambda c: c["model"]["upstream"]["encoder"].update(name="builtins.eval"),
        lambda c: c["model"].update(class_path="os.system", init_args={"command": "true"}),
        lambda c: c["decision"].update(name="subprocess.Popen"),
        lambda c: c["decision"]["options"].update(labels="x"),
        lambda c: c.update(sha256={}),
        lambda c: c.update(extra=1),
        lambda c: c.update(format=99),
    ],
)
def test_settings_can_only_name_our_classes(run, change):
    """Also where an attacker recomputes the digest."""
    from noisewise.bundle import _digest

    def attack(values):
        change(values)
        values["digest"] = _digest(values)

    edit(run / "config.json", attack)
    with pytest.raises(BundleError):
        noisewise.load(run)


class Attack:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (self.mark.touch, ())


@pytest.mark.parametrize("name", ["model.pt", "model.bin", "sub/decision.pkl", "x.npy"])
def test_pickles_are_refused_unopened(run, tmp_path, name):
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_bytes(pickle.dumps(Attack(tmp_path / "ran")))
    with pytest.raises(BundleError, match="refused"):
        noisewise.load(run)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_under_a_harmless_name_is_not_run(run, tmp_path):
    from noisewise.bundle import _digest

    data = pickle.dumps(Attack(tmp_path / "ran"))
    (run / "model.safetensors").write_bytes(data)

    def fit(values):
        import hashlib

        values["sha256"]["model.safetensors"] = hashlib.sha256(data).hexdigest()
        values["digest"] = _digest(values)

    edit(run / "config.json", fit)
    with pytest.raises(BundleError, match="not a usable run folder"):
        noisewise.load(run)
    assert not (tmp_path / "ran").exists()


def test_folders_that_are_no_run(tmp_path):
    with pytest.raises(BundleError, match=r"config\.json is missing"):
        noisewise.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BundleError, match="is not valid"):
        noisewise.load(tmp_path)


def test_a_full_disk_is_a_typed_error(run, tmp_path, monkeypatch):
    import os

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match="No space left"):
        noisewise.save(noisewise.load(run), tmp_path / "copy")
    assert not (tmp_path / "copy" / "config.json").exists()


def test_seen_speakers_are_remembered_by_name_and_clips_by_id_and_size():
    row = {"id": "a/b", "speaker": "anna", "audio": {"path": None, "bytes": b"123"}}
    assert seen_key(row) == seen_key({**row, "id": "other"})
    nobody = {**row, "speaker": None}
    assert seen_key(nobody) != seen_key(row)
    assert seen_key(nobody) == seen_key({**nobody, "audio": {"path": None, "bytes": b"xyz"}})
    assert seen_key(nobody) != seen_key({**nobody, "audio": {"path": None, "bytes": b"1234"}})


def test_true_speakers_are_remembered_too(run):
    """Where splits leak, a corpus calls something else a speaker, and says who it is."""
    row = {"id": "a/b", "speaker": "part1", "audio": {"path": None, "bytes": b"123"}}
    true = {**row, "speaker": "anna"}
    leaky = {**row, "true_speaker": "anna"}
    assert seen_keys(row) == {seen_key(row)} == seen_keys({**row, "true_speaker": None})
    assert seen_keys(leaky) == {seen_key(row), seen_key(true)}
    bundle = noisewise.load(run)
    bundle.seen = frozenset({seen_key(true)})
    assert [bundle.has_seen(x) for x in (row, true, leaky)] == [False, True, True]


def test_the_seed_fixes_the_weights(toy_settings, tmp_path):
    from noisewise.recipe import load_recipe
    from noisewise.training.run import train

    recipe = load_recipe(
        "kws-softmax", toy_settings | {"phases.0.steps": 1, "phases.0.validate_every": 1}
    )
    one, two = (train(recipe, tmp_path / name).model.state_dict() for name in "ab")
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_a_run_opens_without_the_model_it_started_from(hub_folder, tmp_path):
    folder = hub_folder("wav2vec2-base")
    config = ModelConfig(
        upstream={"name": "selfsupervised", "model": str(folder), "layers": [0, 2], "mean": False},
        backend={"name": "pooled", "mix": True},
    )
    model = build_model(config, 0).eval()
    rule = Neighbours([], np.zeros((0, model.backend.dim), np.float32), np.zeros(0, np.int64))
    bundle = noisewise.Bundle(config, model, "keyword", rule)
    clips = [np.random.default_rng(i).standard_normal(4000 + i).astype("f4") for i in range(2)]
    expected = bundle.embed(clips)
    noisewise.save(bundle, tmp_path / "run")
    shutil.rmtree(folder)
    again = noisewise.load(tmp_path / "run")
    assert np.array_equal(again.embed(clips), expected)
    assert str(folder) not in (tmp_path / "run" / "config.json").read_text()
    assert again.config.upstream["layers"] == [0, 2]


def test_a_speaker_model_ships_without_its_head(speaker_run, toy_corpus):
    """Whose voices it was trained on is nobody's business, and no vector of theirs is needed."""
    bundle = noisewise.load(speaker_run)
    assert bundle.config.head is None
    assert bundle.labels == []
    assert {name.split(".")[0] for name in bundle.model.state_dict()} == {"upstream", "backend"}
    speakers = {row["speaker"] for row in noisewise.open_corpus(toy_corpus).rows}
    for name in [*FILES, "seen.json"]:
        found = (speaker_run / name).read_bytes()
        assert not any(speaker.encode() in found for speaker in speakers), name
    assert len(bundle.seen) > 5


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_a_head_keeps_its_classes_when_others_are_enrolled(head, tmp_path):
    config = ModelConfig(
        upstream={"name": "logmel", "mels": 16, "encoder": {"name": "res8", "maps": 4}},
        backend={"name": "pooled"},
        head={"name": head},
    )
    model = build_model(config, 3).eval()
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    bundle = noisewise.Bundle(config, model, "keyword", Neighbours(["a", "b", "c"], *none))
    bundle.decision.enroll("d", np.eye(4, dtype=np.float32))
    again = noisewise.load(noisewise.save(bundle, tmp_path / "run"))
    assert again.labels == ["a", "b", "c", "d"]
    for name, value in again.model.heads.state_dict().items():
        assert torch.equal(value, model.heads.state_dict()[name])


def test_slots_keep_their_order_and_are_predicted(slot_run, slot_corpus):
    bundle = noisewise.load(slot_run)
    assert list(bundle.decision.slots) == ["turn", "shape"]
    assert bundle.decision.slots["turn"] == ["", "again"]
    paths = [json.loads(line)["audio_filepath"] for line in slot_corpus.read_text().splitlines()]
    clips = [audio.read(path) for path in paths[:8]]
    output = bundle.model(Waves.collate(clips))
    for number, said in enumerate(bundle.predict(paths[:8])):
        for slot, values in bundle.decision.slots.items():
            best = values[int(output.logits[slot][number].argmax())]
            assert said.slots[slot] == (best or None)
        assert said.label == " ".join(filter(None, said.slots.values()))
    assert "- shape: fall, hum, rise" in (slot_run / "README.md").read_text()


def test_a_transcriber_is_saved_and_loaded_with_the_rest(spoken_run, toy_corpus, tmp_path):
    bundle = noisewise.load(spoken_run)
    again = noisewise.load(noisewise.save(bundle, tmp_path / "copy"))
    assert again.config.transcriber == {"name": "ctc", "vocabulary": " aefhilmrsu"}
    files = sorted(map(str, toy_corpus.rglob("*.wav")))[::11]
    answers = list(bundle.predict(files))
    assert answers == list(again.predict(files))
    assert answers == list(again.predict(files, batch=2))
    clips = Waves.collate([audio.read(file) for file in files])
    assert [answer.text for answer in answers] == bundle.model.hear(clips, beam=0)[1]
    searched = [answer.text for answer in bundle.predict(files, beam=5)]
    assert searched == bundle.model.hear(clips, beam=5)[1]
    assert "writes what was said in: `aefhilmrsu`" in (tmp_path / "copy" / "README.md").read_text()


def test_only_transcribers_give_texts(run, toy_corpus, tmp_path):
    file = str(next(toy_corpus.rglob("*.wav")))
    (tmp_path / "bad.wav").write_bytes(b"")
    answers = noisewise.load(run).predict([file, tmp_path / "bad.wav"])
    assert [answer.text for answer in answers] == [None, None]


def test_a_transcriber_of_other_symbols_does_not_fit(spoken_run, tmp_path):
    bundle = noisewise.load(spoken_run)
    other = {"name": "ctc", "vocabulary": "ab"}
    bundle.config = bundle.config.model_copy(update={"transcriber": other})
    noisewise.save(bundle, tmp_path / "other")
    with pytest.raises(BundleError, match="not a usable run folder"):
        noisewise.load(tmp_path / "other")
