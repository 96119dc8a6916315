"""Draws the pictures of the documentation, from the synthetic corpus: always the same ones.

    python docs/pictures.py [FOLDER]

FOLDER is ``docs/pictures`` by default. Needs the extra ``demo``.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.corpora.noise_folders import open_noise
from noisewise.corpora.noisy_copy import noisy_copy
from noisewise.evaluation.plots import render
from noisewise.evaluation.sounds import sound
from noisewise.noise.codec import transcode
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.gain import clip
from noisewise.noise.generate import generate
from noisewise.noise.loop import loop_to
from noisewise.noise.room import reverberate
from noisewise.noise.sources import Generated
from noisewise.seeding import rng
from noisewise.types import SAMPLE_RATE

SENTENCE = "switch the lights on in the kitchen"


def room_response(seconds: float = 0.6) -> np.ndarray:
    """A made-up room: a direct path after 20 ms, then echoes that die away by 60 dB."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    echoes = rng(0, "room").standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    direct = [1.0]
    quiet = np.zeros(SAMPLE_RATE // 50)
    return np.concatenate([quiet, direct, 0.08 * echoes]).astype(np.float32)


def figures() -> dict[str, Figure]:
    """Every picture by the name of its file."""
    corpus = open_corpus(None, "synthetic", kind="commands", size="tiny")
    texts, styles = corpus.rows["text"][:], corpus.rows["style"][:]
    number = next(
        i for i, said in enumerate(zip(texts, styles, strict=True)) if said == (SENTENCE, "neutral")
    )
    row = corpus.rows[number]
    speech = read_row(row)
    wave = torch.from_numpy(speech)
    babble = open_noise("babble", corpus.rows)[0]
    generated = {name: Generated(name) for name in ("engine", "siren")}
    corruptor = Corruptor({"babble": babble, **generated}, {}, seed=0)

    def heard(condition: Condition) -> np.ndarray:
        return corruptor(speech, condition, row["id"], row["speaker"])

    clicks = generate("clicks", SAMPLE_RATE // 2, rng(0, "loop"))
    alone = np.pad(clicks, (0, len(speech) - len(clicks)))
    looped = loop_to(torch.from_numpy(clicks), len(speech)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        one = replace(corpus, rows=corpus.rows.select([number]))
        noisy_copy(one, folder, [Condition("siren", 0.0)], corruptor)
        copied = audio.read(next(Path(folder).rglob("*.flac")))
    room = reverberate(wave, torch.from_numpy(room_response()), keep="energy").numpy()
    everything = Condition("babble", 10.0, codec="gsm", clip_db=6.0)
    return {
        "snr": sound({"before": speech, "after": heard(Condition("engine", 5.0))}),
        "loop": sound({"before": alone, "after": looped}),
        "babble": sound({"before": speech, "after": heard(Condition("babble", 5.0))}),
        "room": sound({"before": speech, "after": room}),
        "codec": sound({"before": speech, "after": transcode(speech, "gsm")}),
        "clip": sound({"before": speech, "after": clip(wave, 12.0).numpy()}),
        "condition": sound({"before": speech, "after": heard(everything)}),
        "corrupt": sound({"before": speech, "after": copied}),
    }


def main(folder: Path) -> None:
    """Write every picture as ``folder/NAME.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures().items():
        path = folder / f"{name}.png"
        path.write_bytes(render(figure, "png"))
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
