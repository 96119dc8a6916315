"""Clips and files through an enhancer: each as if alone, whole or not at all, never elsewhere."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import noisewise
from noisewise import audio
from noisewise.enhanced import enhance_files, enhanced_clips, planned_files
from noisewise.errors import AudioError, ConfigError
from noisewise.types import Waves


@pytest.fixture
def bundle(enhancing_run):
    return noisewise.load(enhancing_run)


@pytest.fixture
def sources(toy_corpus, tmp_path):
    return shutil.copytree(toy_corpus / "hum", tmp_path / "sources" / "hum").parent


def sizes(*lengths):
    return [np.sin(np.arange(n) / 7 + n).astype(np.float32) / 2 for n in lengths]


def test_clips_are_as_if_alone_and_as_long_as_before(bundle):
    clips = sizes(1, 15, 16, 4000, 777)
    together = enhanced_clips(bundle.model, clips, batch=3)
    for clip, heard in zip(clips, together, strict=True):
        assert heard.dtype == np.float32
        assert heard.shape == clip.shape
        assert np.allclose(heard, enhanced_clips(bundle.model, [clip])[0], atol=1e-5)
        with torch.no_grad():
            wanted = bundle.model.enhancer(Waves.collate([clip])).samples[0].numpy()
        assert np.allclose(heard, wanted, atol=1e-6)
    assert enhanced_clips(bundle.model, []) == []


def test_without_an_enhancer_clips_stay(toy_run):
    clip = sizes(500)[0]
    assert np.array_equal(enhanced_clips(noisewise.load(toy_run).model, [clip])[0], clip)


def test_files_of_folders_keep_their_place():
    plan = planned_files([Path("a.flac"), Path("b/take.1"), Path("c.x.MP3")], Path("out"))
    assert list(plan) == [Path("out/a.wav"), Path("out/take.1.wav"), Path("out/c.x.wav")]
    assert list(plan.values()) == [Path("a.flac"), Path("b/take.1"), Path("c.x.MP3")]


def test_plans_of_folders(sources):
    clip = next((sources / "hum").iterdir())
    (sources / "deep" / "er").mkdir(parents=True)
    shutil.copy(clip, sources / "deep" / "er" / "x.wav")
    out = sources / "enhanced"
    plan = planned_files([sources], out)
    assert len(plan) == 41
    for target, source in plan.items():
        assert target.relative_to(out) == source.relative_to(sources)
    for target in plan:  # results of an earlier call are not audio to enhance
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, target)
    assert planned_files([sources], out) == plan
    shutil.rmtree(out)
    twice = planned_files([sources, sources / "hum", sources], out)
    assert len(twice) == 41 + 40  # clips asked for in two places go to both


@pytest.mark.parametrize(
    ("paths", "out", "message"),
    [
        (["a.wav", "other/a.wav"], "out", "would both become"),
        (["a.wav", "a.flac"], "out", "would both become"),
        (["folder", "folder/sub/b.wav", "b.wav"], "out", "would both become"),
        (["a.wav"], ".", "would be written over"),
        (["folder"], "folder", "the folder of the results"),
        (["folder/sub"], "folder", "the folder of the results"),
    ],
)
def test_what_would_collide_is_refused(paths, out, message, toy_corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip = next((toy_corpus / "hum").iterdir())
    for name in ("a.wav", "a.flac", "b.wav", "other/a.wav", "folder/sub/b.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, name)
    with pytest.raises(ConfigError, match=message):
        planned_files([Path(path) for path in paths], Path(out))
    assert not Path("out").exists()


def test_a_folder_without_audio(tmp_path):
    with pytest.raises(AudioError, match="no audio files"):
        planned_files([tmp_path], tmp_path / "out")


def test_files_hold_what_the_upstream_hears(bundle, sources, tmp_path):
    out = tmp_path / "out"
    steps = []
    done = enhance_files(bundle, planned_files([sources], out), out, steps.append)
    assert (done.written, done.kept, done.skipped, done.turned_down) == (40, 0, [], [])
    assert steps == [1] * 40
    for source in audio.scan(sources):
        target = out / source.relative_to(sources)
        header = soundfile.info(str(target))
        assert (header.samplerate, header.channels, header.subtype) == (16000, 1, "PCM_16")
        wanted = enhanced_clips(bundle.model, [audio.read(source)])[0]
        assert audio.read(target) == pytest.approx(wanted, abs=2**-15)
    assert not list(out.rglob(".*"))


def test_finished_files_are_kept_and_others_made(bundle, sources, tmp_path):
    out = tmp_path / "out"
    plan = planned_files([sources], out)
    enhance_files(bundle, plan, out)
    before = {target: target.stat().st_ino for target in plan}
    first, second, *_ = plan
    content = first.read_bytes()
    first.rename(out / "was.wav")
    time = plan[second].stat().st_mtime_ns
    os.utime(plan[second], ns=(time, time - 10**9))  # another file came in its place
    done = enhance_files(bundle, plan, out)
    assert (done.written, done.kept) == (2, 38)
    assert first.read_bytes() == content
    assert {target for target in plan if target.stat().st_ino != before[target]} == {first, second}
    assert enhance_files(bundle, plan, out).kept == 40


def test_results_of_another_enhancer_are_not_taken_for_finished(bundle, sources, tmp_path):
    out = tmp_path / "out"
    plan = planned_files([sources], out)
    enhance_files(bundle, plan, out)
    with torch.no_grad():
        bundle.model.enhancer.out.bias += 1
    with pytest.raises(ConfigError, match="holds enhanced clips with another sha256"):
        enhance_files(bundle, plan, out)
    with pytest.raises(ConfigError, match="is not empty and holds no enhanced clips"):
        enhance_files(bundle, plan, sources)


def test_a_clip_beyond_full_scale_is_turned_down_as_a_whole(bundle, tmp_path):
    with torch.no_grad():  # a loud enhancer: its input three times over
        bundle.model.enhancer.out.weight.zero_()
        bundle.model.enhancer.out.weight[0, -1] = -2
        bundle.model.enhancer.out.bias.zero_()
    loud, soft = 0.6 * sizes(4000)[0] / 0.5, 0.2 * sizes(4000)[0]
    for name, clip in (("loud.wav", loud), ("soft.wav", soft)):
        audio.write(tmp_path / name, clip)
    out = tmp_path / "out"
    plan = planned_files([tmp_path / "loud.wav", tmp_path / "soft.wav"], out)
    done = enhance_files(bundle, plan, out)
    ((target, loss),) = done.turned_down
    assert target == out / "loud.wav"
    heard = audio.read(target)
    assert 0.98 < np.abs(heard).max() < 1
    assert heard == pytest.approx(3 * loud * 10 ** (-loss / 20), abs=1e-3)
    assert audio.read(out / "soft.wav") == pytest.approx(3 * soft, abs=1e-3)


def test_unusable_files_are_listed(bundle, sources, tmp_path):
    broken = {"empty.wav": b"", "text.flac": b"x" * 999}
    for name, content in broken.items():
        (sources / name).write_bytes(content)
    out = tmp_path / "out"
    plan = planned_files([sources, tmp_path / "nowhere.wav"], out)
    done = enhance_files(bundle, plan, out)
    assert {source.name for source, _ in done.skipped} == {*broken, "nowhere.wav"}
    assert all(source.name in reason for source, reason in done.skipped)
    assert (done.written, len(list(out.rglob("*.wav")))) == (40, 40)


def test_an_enhancer_that_fails_on_a_file(bundle, sources, tmp_path):
    with torch.no_grad():
        bundle.model.enhancer.out.bias.fill_(torch.nan)
    done = enhance_files(bundle, planned_files([sources], tmp_path / "out"), tmp_path / "out")
    assert len(done.skipped) == 40
    assert all("NaN or infinite" in reason for _, reason in done.skipped)


def test_a_full_disk_and_a_folder_that_cannot_be(bundle, sources, tmp_path, monkeypatch):
    plan = planned_files([sources], tmp_path / "out")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AudioError, match="cannot be written"):
        enhance_files(bundle, plan, tmp_path / "file" / "out")

    def full(path, *_, **__):
        Path(path).write_bytes(b"RIFF")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(AudioError, match="No space left"):
        enhance_files(bundle, plan, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*.*")] == ["enhancement.json"]


def test_long_files_are_cut_and_put_together(bundle, tmp_path):
    """As if they had gone through in one piece."""
    clip = np.tile(np.concatenate(sizes(5000, 3000)), 40)
    audio.write(tmp_path / "long.wav", clip)
    bundle.model.enhancer.chunk = 16 * 2000
    out = tmp_path / "out"
    enhance_files(bundle, planned_files([tmp_path / "long.wav"], out), out)
    bundle.model.enhancer.chunk = 10**9
    whole = enhanced_clips(bundle.model, [audio.read(tmp_path / "long.wav")])[0]
    assert audio.read(out / "long.wav") == pytest.approx(whole, abs=1e-4)


def test_a_run_without_an_enhancer(toy_run, sources, tmp_path):
    plan = planned_files([sources], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"model\.enhancer"):
        enhance_files(noisewise.load(toy_run), plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()
