"""A copy is a function of corpus, conditions and seed; it stays in its folder and keeps its SNR."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import Corpus, make_rows, read_clean, read_row
from noisewise.corpora.noisy_copy import MANIFEST, SUMMARY, noisy_copy
from noisewise.errors import AudioError, ConfigError, CorpusError
from noisewise.noise.condition import Condition, Grid
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.generate import generate
from noisewise.noise.mix import measure_snr
from noisewise.noise.sources import Generated, Recordings
from noisewise.seeding import rng

NOISES = {name: Generated(name) for name in ("pink", "clicks")}
CONDITIONS = [c for c in Grid(["pink", "clicks"], [10, 0]).conditions() if not c.clean]


@pytest.fixture(scope="module")
def corpus(toy_corpus):
    opened = open_corpus(toy_corpus).with_splits(0)
    return Corpus(opened.name, opened.rows.select(range(0, 120, 5)), opened.task, opened.labels)


def corruptor(seed=0, **sources):
    return Corruptor(sources or NOISES, {}, seed)


def entries(out):
    return [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]


def copy_of(corpus, ids):
    """The first rows of a corpus under other ids."""
    rows = [
        dict(row, id=i, audio=row["audio"]["path"])
        for i, row in zip(ids, corpus.rows, strict=False)
    ]
    return Corpus("x", make_rows(rows, ["keyword"]), "keyword", corpus.labels)


@pytest.fixture(scope="module")
def copied(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("copy") / "a"
    steps = []
    done = noisy_copy(corpus, out, CONDITIONS, corruptor(), progress=steps.append)
    assert steps == [1] * len(corpus.rows)
    return done, out


def test_every_hash_is_that_of_its_file(corpus, copied):
    done, out = copied
    lines = entries(out)
    assert done.clips == len(lines) == len(corpus.rows)
    assert done.skipped == []
    for line in lines:
        data = (out / line["audio_filepath"]).read_bytes()
        assert line["sha256"] == hashlib.sha256(data).hexdigest()
    assert done.sha256 == hashlib.sha256((out / MANIFEST).read_bytes()).hexdigest()
    assert json.loads((out / SUMMARY).read_text())["manifest_sha256"] == done.sha256
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert files == {MANIFEST, SUMMARY, *(line["audio_filepath"] for line in lines)}


def test_same_whatever_the_workers_and_other_with_another_seed(corpus, copied, tmp_path):
    again = noisy_copy(corpus, tmp_path / "b", CONDITIONS, corruptor(), workers=2)
    assert again == copied[0]
    assert (tmp_path / "b" / SUMMARY).read_bytes() == (copied[1] / SUMMARY).read_bytes()
    other = noisy_copy(corpus, tmp_path / "c", CONDITIONS, corruptor(seed=1))
    assert other.sha256 != copied[0].sha256


def test_it_opens_like_a_corpus(corpus, copied):
    opened = open_corpus(copied[1] / MANIFEST)
    assert opened.skipped == ()
    assert opened.labels["keyword"] == corpus.labels["keyword"]
    for mine, theirs in zip(opened.rows, corpus.rows, strict=True):
        for name in ("id", "keyword", "speaker", "split"):
            assert mine[name] == theirs[name]
        assert len(read_row(mine)) == len(read_row(theirs))


def test_files_hold_the_corrupted_clip_scaled_only_where_it_must_be(corpus, copied):
    conditions = set()
    for line, row in zip(entries(copied[1]), corpus.rows, strict=True):
        condition = Condition(line["noise"], line["snr_db"])
        assert line["condition"] == condition.name
        conditions.add(condition)
        wanted = corruptor()(read_row(row), condition, row["id"], row["speaker"])
        peak = np.abs(wanted).max()
        assert line["gain"] == pytest.approx(min(1, 10 ** (-0.1 / 20) / peak), abs=1e-6)
        written = audio.read(copied[1] / line["audio_filepath"])
        np.testing.assert_allclose(written, line["gain"] * wanted, atol=2 / 32768)
    assert conditions == set(CONDITIONS)


def test_clean_clips_are_written_as_loud_as_they_are_in_their_copies(corpus, copied, tmp_path):
    done = noisy_copy(corpus, tmp_path / "p", CONDITIONS, corruptor(), clean=True, workers=2)
    assert done.clips == copied[0].clips
    opened = open_corpus(tmp_path / "p" / MANIFEST)
    assert set(opened.labels) == set(open_corpus(copied[1] / MANIFEST).labels)
    for line, row, before in zip(entries(tmp_path / "p"), opened.rows, corpus.rows, strict=True):
        noisy = read_row(row)
        clean = read_clean(row, noisy)
        np.testing.assert_allclose(clean, line["gain"] * read_row(before), atol=2 / 32768)
    with pytest.raises(ConfigError, match="another clean"):
        noisy_copy(corpus, tmp_path / "p", CONDITIONS, corruptor())


@pytest.mark.parametrize("peak", [1.0, 0.1])
@pytest.mark.parametrize("snr", [10.0, 0.0, -10.0])
def test_peak_safe_with_its_snr(tmp_path, peak, snr):
    """Subtracting the scaled clean clip leaves noise of the stated SNR, also after 16 bits."""
    rows = []
    for number in range(4):
        clip = generate("engine", 12000, rng(0, number)) * np.hanning(12000)
        clip = (peak / np.abs(clip).max() * clip).astype(np.float32)
        audio.write(tmp_path / f"{number}.wav", clip)
        rows.append({"id": str(number), "audio": tmp_path / f"{number}.wav", "keyword": "x"})
    loud = Corpus("loud", make_rows(rows, ["keyword"]), "keyword", {"keyword": ["x"]})
    noisy_copy(loud, tmp_path / "out", [Condition("pink", snr)], corruptor())
    for line, row in zip(entries(tmp_path / "out"), loud.rows, strict=True):
        if peak == 1.0 and snr <= 0:
            assert line["gain"] < 1
        written = audio.read(tmp_path / "out" / line["audio_filepath"])
        assert np.abs(written).max() <= 1
        speech = line["gain"] * torch.from_numpy(read_row(row))
        added = torch.from_numpy(written) - speech
        assert measure_snr(speech, added).item() == pytest.approx(snr, abs=0.05)


def test_a_copy_with_files_missing_is_completed(corpus, copied, tmp_path):
    out = tmp_path / "out"
    noisy_copy(corpus, out, CONDITIONS, corruptor())
    files = sorted(out.rglob("*.flac"))
    for path in files[::3]:
        path.unlink()
    files[1].write_bytes(files[2].read_bytes())  # and one is not what it should be
    (out / MANIFEST).unlink()
    assert noisy_copy(corpus, out, CONDITIONS, corruptor()) == copied[0]


def test_a_killed_copy_ends_with_the_same_hash(toy_corpus, tmp_path):
    script = """
import sys
from noisewise.corpora import open_corpus
from noisewise.corpora.noisy_copy import noisy_copy
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import Generated
corruptor = Corruptor({"pink": Generated("pink")}, {}, 0)
done = noisy_copy(
    open_corpus(sys.argv[1]), sys.argv[2], [Condition("pink", 0.0)], corruptor,
    workers=int(sys.argv[3]), progress=lambda n: print("file", flush=True),
)
print(done.sha256)
"""

    def start(out, workers):
        return subprocess.Popen(
            [sys.executable, "-c", script, str(toy_corpus), str(out), str(workers)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def finish(process):
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return printed.splitlines()[-1]

    process = start(tmp_path / "killed", 0)
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / MANIFEST).exists()
    whole = finish(start(tmp_path / "whole", 2))
    assert finish(start(tmp_path / "killed", 0)) == whole


def test_workers_do_not_hang_after_threaded_work_in_the_parent(tmp_path):
    """Forked workers must not wait for the parent's threads."""
    script = f"""
import numpy as np, torch
torch.set_num_threads(2)
from noisewise import audio
from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.noisy_copy import noisy_copy
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import Generated
root = {str(tmp_path)!r}
audio.write(root + "/a.wav", np.sin(np.arange(400000) / 9).astype("f4"))
torch.rand(10**6).add_(1).sort()  # the threads are there now
rows = make_rows([{{"id": i, "audio": root + "/a.wav", "keyword": "x"}} for i in "ab"], ["keyword"])
corpus = Corpus("x", rows, "keyword", {{"keyword": ["x"]}})
corruptor = Corruptor({{"pink": Generated("pink")}}, {{}}, 0)
print(noisy_copy(corpus, root + "/out", [Condition("pink", 0.0)], corruptor, workers=2).clips)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    try:
        assert process.communicate(timeout=120)[0].split() == ["2"]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_other_settings_and_foreign_folders_are_refused(corpus, copied, tmp_path):
    out = copied[1]
    before = (out / MANIFEST).read_bytes()
    for conditions, other, options in [
        (CONDITIONS, corruptor(seed=1), {}),
        (CONDITIONS[:2], corruptor(), {}),
        (CONDITIONS, Corruptor(NOISES, {}, 0, level="full"), {}),
        (CONDITIONS, corruptor(), {"every": True}),
    ]:
        with pytest.raises(ConfigError, match="holds noisy clips with another"):
            noisy_copy(corpus, out, conditions, other, **options)
    assert (out / MANIFEST).read_bytes() == before
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="is not empty and holds no noisy clips"):
        noisy_copy(corpus, tmp_path, CONDITIONS, corruptor())
    with pytest.raises(ConfigError, match="at least one condition"):
        noisy_copy(corpus, tmp_path / "new", [], corruptor())
    assert not (tmp_path / "new").exists()


def test_changed_noise_of_the_same_name_is_not_taken_from_the_last_copy(corpus, tmp_path):
    """The settings name noises only: what the files hold must still be what was asked for."""
    hashes = []
    for turn, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        audio.write(tmp_path / name / "n.wav", generate("brown", 20000, rng(turn)))
        source = Recordings("rain", [tmp_path / name / "n.wav"])
        both = [
            noisy_copy(corpus, out, [Condition("rain", 0.0)], corruptor(rain=source)).sha256
            for out in (tmp_path / "shared", tmp_path / f"alone{turn}")
        ]
        assert both[0] == both[1]
        hashes.append(both[0])
    assert hashes[0] != hashes[1]


def test_every_condition_in_a_folder_of_its_own(corpus, tmp_path):
    few = Corpus("few", corpus.rows.select(range(3)), "keyword", corpus.labels)
    conditions = [Condition(), *CONDITIONS]
    done = noisy_copy(few, tmp_path / "out", conditions, corruptor(), every=True)
    lines = entries(tmp_path / "out")
    assert done.clips == len(lines) == 3 * len(conditions)
    for number, condition in enumerate(conditions):
        own = [line for line in lines if line["audio_filepath"].startswith(f"{number:02d}/")]
        assert [line["id"] for line in own] == [f"{number:02d}/{i}" for i in few.rows["id"][:]]
        assert {line["condition"] for line in own} == {condition.name}
    assert len(open_corpus(tmp_path / "out" / MANIFEST).rows) == len(lines)


EVIL = ["../../evil", "/etc/evil", "//etc/evil", "..", "/", "a/../../../evil", "a/../b", "a/b",
        "/a/b", "./a/b", "a//b", "a.", ".", "a b/ü", "a\\b"]  # fmt: skip


@pytest.mark.parametrize("every", [False, True])
def test_no_id_leaves_the_folder_or_meets_another(corpus, tmp_path, every):
    out = tmp_path / "deep" / "er" / "out"
    evil = copy_of(corpus, EVIL)
    done = noisy_copy(evil, out, CONDITIONS[:1], corruptor(), every=every)
    assert done.clips == len(EVIL)
    lines = entries(out)
    targets = {(out / line["audio_filepath"]).resolve() for line in lines}
    assert len(targets) == len({line["id"] for line in lines}) == len(EVIL)
    assert all(path.is_relative_to(out.resolve()) for path in targets)
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {*targets, out / MANIFEST, out / SUMMARY}
    assert not Path("/etc/evil.flac").exists()
    for line, row in zip(lines, evil.rows, strict=True):
        wanted = corruptor()(read_row(row), CONDITIONS[0], row["id"], row["speaker"])
        written_clip = audio.read(out / line["audio_filepath"])
        np.testing.assert_allclose(written_clip, line["gain"] * wanted, atol=2 / 32768)


def test_bad_clips_are_listed(corpus, tmp_path):
    audio.write(tmp_path / "silent.wav", np.zeros(800, np.float32))
    (tmp_path / "cut.wav").write_bytes(b"RIFF")
    rows = [dict(row, audio=row["audio"]["path"]) for row in corpus.rows.select(range(2))]
    for name in ("silent", "cut"):
        rows.append({"id": name, "audio": tmp_path / f"{name}.wav", "keyword": "hum"})
    mixed = Corpus("x", make_rows(rows, ["keyword"]), "keyword", corpus.labels)
    for workers in (0, 2):
        done = noisy_copy(mixed, tmp_path / f"o{workers}", CONDITIONS, corruptor(), workers=workers)
        assert done.clips == 2
        assert [name for name, _ in done.skipped] == ["silent", "cut"]
        assert "speech is silent" in done.skipped[0][1]
        assert "cut.wav" in done.skipped[1][1]
    bad = Corpus("x", mixed.rows.select([2, 3]), "keyword", corpus.labels)
    with pytest.raises(CorpusError, match="none of the 2 clips could be used"):
        noisy_copy(bad, tmp_path / "bad", CONDITIONS, corruptor())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_written_is_one_clear_error(corpus, tmp_path, workers):
    few = copy_of(corpus, ["a/b", "c"])
    noisy_copy(few, tmp_path / "out", CONDITIONS, corruptor())
    (tmp_path / "out" / "a" / "b.flac").unlink()
    (tmp_path / "out" / "a").rmdir()
    (tmp_path / "out" / "a").write_text("in the way")
    with pytest.raises(AudioError, match=r"a/b\.flac: cannot be written") as caught:
        noisy_copy(few, tmp_path / "out", CONDITIONS, corruptor(), workers=workers)
    assert "Traceback" not in str(caught.value)
