"""The engine: the same samples every time, every voice opens, and plain errors."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from noisewise.corpora.espeak import (
    ACCENTS,
    Speaker,
    Voice,
    engine_version,
    say,
    variants,
)
from noisewise.errors import ConfigError, CorpusError

pytest.importorskip("espeakng_loader", reason="the extra 'demo' is not installed")

# breath and hoarseness are noise: the variants that would differ from call to call
NOISY = ("Alicia", "Demonic", "f2", "f3", "f5", "sandro", "victor", "whisper", "whisperf")


def speak(requests: list[tuple[str, Voice]], **options) -> list[np.ndarray]:
    with Speaker(**options) as speaker, ThreadPoolExecutor(speaker.workers) as pool:
        return list(pool.map(lambda request: speaker.say(*request), requests))


def digest(clips: list[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(clip.tobytes() for clip in clips)).hexdigest()


def test_say_gives_speech_at_16_khz():
    samples = say("seven")
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 0.25 < len(samples) / 16_000 < 1.0
    assert 0.05 < np.abs(samples).max() <= 1.0
    assert len(say("turn on the lights in the kitchen")) > 2 * len(samples)


def test_same_samples_whatever_ran_before_and_however_many_workers():
    requests = [(text, Voice("en-us", v)) for v in NOISY for text in ("yes", "house")]
    expected = digest(speak(requests, workers=1))
    assert digest(speak(requests, workers=3)) == expected
    backwards = speak(requests[::-1] + requests[:3], workers=2)[: len(requests)]
    assert digest(backwards[::-1]) == expected


def test_same_samples_seconds_later_and_in_a_process_of_its_own():
    requests = [("yes", Voice("en-us", v)) for v in NOISY]
    first = digest(speak(requests, workers=2))
    time.sleep(1.1)  # the engine would seed its noise with the clock's seconds
    assert digest(speak(requests, workers=2, fork=False)) == first


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_accent_opens_and_is_its_own(accent):
    samples = say("go down", Voice(accent))
    other = say("go down", Voice(ACCENTS[ACCENTS.index(accent) - 1]))
    assert len(samples) != len(other) or np.abs(samples - other).max() > 0.01


def test_every_variant_speaks_and_nearly_all_differ():
    names = variants()
    assert len(names) > 90
    clips = speak([("yes", Voice("en-us", v)) for v in ("", *names)], workers=2)
    assert all(np.square(clip).mean() > 1e-5 for clip in clips)
    assert len({digest([clip]) for clip in clips}) >= len(names) - 1


def test_the_numbers_of_a_voice_do_what_they_say():
    text = "turn the volume up"
    assert len(say(text, Voice(rate=120))) > 1.3 * len(say(text, Voice(rate=240)))
    loud, quiet = say(text, Voice(volume=60)), say(text, Voice(volume=30))
    assert np.square(loud).mean() > 2 * np.square(quiet).mean()
    assert pitch(say("no", Voice(pitch=80))) > 1.2 * pitch(say("no", Voice(pitch=20)))


def pitch(samples: np.ndarray) -> float:
    """Fundamental frequency in Hz where the clip is loudest, by autocorrelation."""
    at = int(np.argmax(np.convolve(np.square(samples), np.ones(800), "same")))
    frame = samples[max(0, at - 400) : at + 400]
    correlation = np.correlate(frame, frame, "full")[len(frame) - 1 :]
    return 16_000 / (50 + int(np.argmax(correlation[50:320])))


@pytest.mark.parametrize(
    ("text", "voice", "message"),
    [
        ("yes", Voice("en-gb"), "no voice 'en-gb'"),
        ("yes", Voice("xx+f1"), "no voice 'xx.f1'"),
        ("yes", Voice("en-us", "nobody"), "no voice variant 'nobody'"),
        ("", Voice(), "'' has no sound"),
        (" ... \n", Voice(), "has no sound"),
        ("\0", Voice(), "has no sound"),
    ],
)
def test_refused_requests_are_named_and_do_not_spoil_the_worker(text, voice, message):
    with Speaker(workers=1) as speaker:
        expected = speaker.say("yes", Voice())
        with pytest.raises(ConfigError, match=message):
            speaker.say(text, voice)
        assert np.array_equal(speaker.say("yes", Voice()), expected)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("pitch", value) for value in (-1, 100, "high")),
        *(("rate", value) for value in (79, 451, 150.5)),
        *(("volume", value) for value in (0, 201)),
        ("pitch_range", 101),
    ],
)
def test_voice_numbers_out_of_range(option, value):
    with pytest.raises(ConfigError, match=f"{option} must be a whole number"):
        Voice(**{option: value})


def test_at_least_one_worker():
    with pytest.raises(ConfigError, match="at least one worker"):
        Speaker(workers=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are ended by signal")
def test_a_killed_child_is_an_error_and_the_next_request_has_a_new_one():
    with Speaker(workers=1) as speaker:
        expected = speaker.say("yes", Voice())
        speaker._started[0].send_signal(signal.SIGKILL)
        speaker._started[0].wait()
        with pytest.raises(CorpusError, match="ended before it had spoken 'no'"):
            speaker.say("no", Voice())
        assert np.array_equal(speaker.say("yes", Voice()), expected)


def test_no_child_outlives_the_speaker():
    with Speaker(workers=2) as speaker:
        threads = [threading.Thread(target=speaker.say, args=("yes", Voice())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        children = list(speaker._started)
        assert 1 <= len(children) <= 2
    assert all(child.poll() is not None for child in children)


def test_version_names_the_engine():
    assert engine_version().startswith("espeakng-loader 0.")


def test_without_the_engine_the_error_says_what_to_install(tmp_path):
    (tmp_path / "espeakng_loader.py").write_text("raise ImportError('not here')")
    code = (
        "from noisewise.corpora.espeak import say\n"
        "from noisewise.errors import ConfigError\n"
        "try: say('yes')\n"
        "except ConfigError as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "pip install 'noisewise[demo]'" in done.stdout
