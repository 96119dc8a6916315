"""Quality of what the upstream hears: which clips, against what, and what never changes it."""

import shutil
import sys

import numpy as np
import pytest

import noisewise
from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.enhanced import enhanced_clips
from noisewise.errors import ConfigError
from noisewise.evaluation.quality import enhanced_examples, near_zero, some_clips, with_quality
from noisewise.evaluation.results import Row
from noisewise.metrics.enhancement import quality
from noisewise.noise.condition import Condition, Grid
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import Generated

NAMES = ("si_sdr", "stoi", "pesq")


@pytest.fixture
def model(enhancing_run):
    return noisewise.load(enhancing_run).model


@pytest.fixture(scope="module")
def rows(toy_corpus):
    return open_corpus(toy_corpus).rows


@pytest.fixture
def corruptor():
    return Corruptor({name: Generated(name) for name in ("pink", "hum")}, {}, 0)


def test_clips_are_drawn_by_the_seed_in_order(rows):
    first = some_clips(rows, "keyword", 10, 0)["id"][:]
    assert len(set(first)) == 10
    assert first == [id_ for id_ in rows["id"][:] if id_ in first]
    assert first == some_clips(rows, "keyword", 10, 0)["id"][:]
    assert first != some_clips(rows, "keyword", 10, 1)["id"][:]
    assert set(first) < set(some_clips(rows, "keyword", 20, 0)["id"][:])
    assert len(some_clips(rows, "nothing of the kind", 1000, 0)) == len(rows)
    assert len(some_clips(rows, "keyword", 0, 0)) == 0
    with pytest.raises(ConfigError, match="at least 0 clips, got -1"):
        some_clips(rows, "keyword", -1, 0)


def test_clips_without_speech_are_never_drawn(toy_corpus, tmp_path):
    root = tmp_path / "corpus"
    for word in ("hum", "_silence_"):
        shutil.copytree(toy_corpus / "hum", root / word)
    audio.write(root / "hum" / "still_nohash_0.wav", np.zeros(8000, np.float32))
    rows = open_corpus(root).rows
    broken = root / "hum" / "voice0_nohash_0.wav"
    broken.write_bytes(broken.read_bytes()[:50])
    names = some_clips(rows, "keyword", 1000, 0)["id"][:]
    assert len(names) == 39
    assert all(name.startswith("hum/") and "still" not in name for name in names)


def test_means_are_those_of_a_brute_force_loop(model, rows, corruptor):
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    clips = some_clips(rows, "keyword", 5, 0)
    given = [Row(n=7, metrics={"accuracy": 0.5}), Row("pink", 5.0), Row("pink", 5.0, codec="mulaw")]
    steps = []
    made = with_quality(
        given, model, clips, corruptor, seed=0, progress=lambda name, n: steps.append((name, n))
    )
    for row, before in zip(made, given, strict=True):
        assert (row.condition, row.n) == (before.condition, before.n)
        found = {}
        for clip in clips:
            clean = read_row(clip)
            noisy = corruptor(clean, row.condition, clip["id"], clip["speaker"])
            heard = enhanced_clips(model, [noisy])[0]
            for name, value in quality(heard, clean).items():
                found.setdefault(name, []).append(value)
            for name, value in quality(noisy, clean).items():
                found.setdefault(f"{name}_noisy", []).append(value)
        wanted = {
            name: np.mean(column)
            for name, values in found.items()
            if len(column := [v for v in values if np.isfinite(v)])
        }
        assert set(row.metrics) == set(wanted) | set(before.metrics)
        for name, value in wanted.items():
            assert row.metrics[name] == pytest.approx(value, abs=1e-4)
            low, high = row.intervals[name]
            assert low <= row.metrics[name] <= high
        done = [n for name, n in steps if name == f"quality, {row.condition.name}"]
        assert sum(done) == len(clips)
    assert made[0].metrics["accuracy"] == 0.5
    assert "si_sdr_noisy" not in made[0].metrics  # the clip itself: infinite
    assert "si_sdr_noisy" in made[1].metrics
    # the noise has its SNR over active speech, and is hardly in line with it
    assert abs(made[1].metrics["si_sdr_noisy"] - 5) < 3


def test_without_an_enhancer_there_is_one_value_of_each(toy_run, rows, corruptor):
    model = noisewise.load(toy_run).model
    clips = some_clips(rows, "keyword", 3, 0)
    clean, noisy = with_quality([Row(), Row("hum", 0.0)], model, clips, corruptor, seed=0)
    assert set(clean.metrics) <= {"stoi", "pesq"}
    assert "si_sdr" in noisy.metrics
    assert set(noisy.metrics) <= set(NAMES)
    assert clean.metrics.get("pesq", 4.644) == pytest.approx(4.644, abs=1e-3)


def test_no_clips_leave_the_rows_alone(model, rows, corruptor):
    given = [Row(metrics={"accuracy": 0.5})]
    assert with_quality(given, model, rows.select([]), corruptor, seed=0) == given


def test_workers_and_other_conditions_change_nothing(model, rows, corruptor):
    clips = some_clips(rows, "keyword", 6, 0)
    given = [Row("pink", 0.0), Row("hum", 0.0)]
    one = with_quality(given, model, clips, corruptor, seed=3)
    two = with_quality(given, model, clips, corruptor, seed=3, workers=2)
    for a, b in zip(one, two, strict=True):
        assert a.metrics == pytest.approx(b.metrics, abs=1e-9)
        assert list(a.metrics) == list(b.metrics)
        assert a.intervals.keys() == b.intervals.keys()
    assert with_quality(given[1:], model, clips, corruptor, seed=3) == one[1:]


def test_clips_that_the_condition_refuses_do_not_count(model, rows, tmp_path):
    """Silent noise: nothing is measured, and nothing fails."""
    from noisewise.corpora.noise_folders import open_noise

    (tmp_path / "quiet").mkdir()
    audio.write(tmp_path / "quiet" / "a.wav", np.zeros(9000, np.float32))
    quiet = Corruptor({"quiet": open_noise(str(tmp_path / "quiet"), rows)[0]}, {}, 0)
    clips = some_clips(rows, "keyword", 3, 0)
    (row,) = with_quality([Row("quiet", 0.0)], model, clips, quiet, seed=0)
    assert row.metrics == row.intervals == {}
    assert enhanced_examples(model, rows, "keyword", [Condition("quiet", 0.0)], quiet, 0) == []


def test_without_the_packages_si_sdr_is_left(model, rows, corruptor, monkeypatch):
    monkeypatch.setitem(sys.modules, "pystoi", None)
    monkeypatch.setitem(sys.modules, "pesq", None)
    clips = some_clips(rows, "keyword", 3, 0)
    (row,) = with_quality([Row("hum", 0.0)], model, clips, corruptor, seed=0)
    assert set(row.metrics) == {"si_sdr", "si_sdr_noisy"}


def test_examples_take_turns_with_the_noises_near_zero(model, rows, corruptor):
    conditions = Grid(["pink", "hum"], [20, 5, -5], codecs=["mulaw"]).conditions()
    shown = enhanced_examples(model, rows, "keyword", conditions, corruptor, 0)
    assert [clip.condition for clip in shown] == ["pink -5 dB", "hum -5 dB"] * 3
    assert [clip.id for clip in shown] == some_clips(rows, "keyword", 6, 0)["id"][:]
    by_id = {row["id"]: row for row in rows}
    for clip in shown:
        row = by_id[clip.id]
        assert np.array_equal(clip.clean, read_row(row))
        condition = Condition(clip.condition.split()[0], -5.0)
        noisy = corruptor(clip.clean, condition, clip.id, row["speaker"])
        assert np.array_equal(clip.noisy, noisy)
        assert np.array_equal(clip.enhanced, enhanced_clips(model, [noisy])[0])
        assert clip.enhanced.shape == noisy.shape
        assert not np.array_equal(clip.enhanced, noisy)


def test_examples_need_an_enhancer(toy_run, rows, corruptor):
    model = noisewise.load(toy_run).model
    assert enhanced_examples(model, rows, "keyword", [Condition()], corruptor, 0) == []


def test_which_conditions_are_near_zero():
    grid = Grid(["pink", "hum"], [10, 0], rirs=["hall"], codecs=["gsm"]).conditions()
    assert [c.name for c in near_zero(grid)] == ["pink 0 dB", "hum 0 dB"]
    assert [c.name for c in near_zero(Grid([], [], codecs=["gsm"]).conditions())] == ["gsm"]
    assert near_zero([Condition()]) == [Condition()]
