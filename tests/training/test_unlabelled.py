"""Audio for training without labels: whom it keeps out."""

import numpy as np
import pytest

from noisewise import audio
from noisewise.recipe import load_any_recipe
from noisewise.training.unlabelled import open_audio


@pytest.mark.parametrize("name", ["noisewise-small", "decompose"])
def test_validation_speakers_are_kept_out_of_every_corpus(toy_corpus, tmp_path, name):
    copy = tmp_path / "flat"
    copy.mkdir()
    for file in (toy_corpus / "hum").iterdir():
        audio.write(copy / file.name, audio.read(file))
    corpora = [{"root": str(toy_corpus)}, {"root": str(copy)}]
    clips = open_audio(load_any_recipe(name, {"corpora": corpora}), None)
    train, validation = (set(rows["speaker"][:]) for rows in (clips.train, clips.validation))
    assert train
    assert validation
    assert not train & validation
    assert len(clips.train) + len(clips.validation) == 160
    assert len(clips.seconds) == len(clips.train)
    assert np.allclose(clips.seconds, 0.5)
    assert sum(c["hours"] for c in clips.names) == pytest.approx(
        clips.seconds.sum() / 3600, abs=2e-3
    )
