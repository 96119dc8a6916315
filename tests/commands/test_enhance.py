"""``noisewise enhance``: WAV files, what is said of them, refusals."""

import numpy as np
import pytest
import soundfile

from noisewise import audio, load
from noisewise.enhanced import enhanced_clips


def test_files_and_folders(noisewise, enhancing_run, toy_corpus, clips, tmp_path):
    out = tmp_path / "out"
    done = noisewise("enhance", enhancing_run, toy_corpus, "--out", out)
    assert (done.status, done.out) == (0, "")
    assert done.err.splitlines()[-1] == f"{out}: 120 files enhanced"
    names = {str(path.relative_to(out)) for path in out.rglob("*.wav")}
    assert names == {str(path.relative_to(toy_corpus)) for path in clips}
    again = noisewise("enhance", enhancing_run, toy_corpus, "--out", out)
    assert again.err.splitlines()[-1] == f"{out}: 0 files enhanced, 120 were there already"


def test_any_rate_and_channels(noisewise, enhancing_run, clips, tmp_path):
    clip = audio.read(clips[0])
    soundfile.write(tmp_path / "stereo.wav", np.stack([clip, clip], 1), 16000)
    for rate in (8000, 44100):
        soundfile.write(tmp_path / f"{rate}.flac", audio.resample(clip, 16000, rate), rate)
    files = [tmp_path / name for name in ("stereo.wav", "8000.flac", "44100.flac")]
    out = tmp_path / "out"
    assert noisewise("enhance", enhancing_run, *files, "--out", out).status == 0
    model = load(enhancing_run).model
    for path in files:
        wanted = enhanced_clips(model, [audio.read(path)])[0]
        assert audio.read(out / f"{path.stem}.wav") == pytest.approx(wanted, abs=2**-15)
        assert audio.info(out / f"{path.stem}.wav").sample_rate == 16000


def test_unusable_files_give_status_1(noisewise, enhancing_run, clips, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    bad = [tmp_path / "empty.wav", tmp_path / "nowhere.wav"]
    done = noisewise("enhance", enhancing_run, *bad, clips[0], "--out", tmp_path / "out")
    assert done.status == 1
    for path in bad:
        assert f"skipped {path}: " in done.err
    assert (tmp_path / "out" / clips[0].name).is_file()


def test_loud_clips_are_said_to_be_turned_down(noisewise, enhancing_run, tmp_path):
    t = np.arange(8000) / 16000
    audio.write(tmp_path / "loud.wav", 0.999 * np.sign(np.sin(900 * t)))
    done = noisewise("enhance", enhancing_run, tmp_path / "loud.wav", "--out", tmp_path / "out")
    assert done.status == 0
    said = f"{tmp_path / 'out' / 'loud.wav'}: turned down by "
    peak = np.abs(audio.read(tmp_path / "out" / "loud.wav")).max()
    assert said in done.err
    assert 0.98 < peak < 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["PLAIN", "CORPUS"], "model.enhancer"),
        (["RUN", "CORPUS/hum", "CORPUS/fall"], "would both become"),
        (["RUN", "EMPTY"], "no audio files"),
        (["nowhere", "CORPUS"], "not a run folder"),
        (["RUN", "CORPUS", "--device", "abacus"], "device 'abacus' cannot be used here"),
        (["RUN", "CORPUS", "--out", "FILE"], "FILE"),
    ],
)
def test_refusals(
    arguments, message, noisewise, enhancing_run, toy_run, toy_corpus, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("in the way")
    for name, target in (("CORPUS", toy_corpus), ("RUN", enhancing_run), ("PLAIN", toy_run)):
        (tmp_path / name).symlink_to(target)
    done = noisewise("enhance", "--out", "out", *arguments)
    assert message in done.refusal
    assert not (tmp_path / "out").exists()
