"""``noisewise import``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from noisewise.bundle import Bundle, build_model, save
from noisewise.commands.console import say
from noisewise.decision.neighbours import Neighbours
from noisewise.errors import ConfigError
from noisewise.recipe import ModelConfig
from noisewise.upstream.fairseq import read_wav2vec1
from noisewise.upstream.published import read_triplet_kws


def import_weights(
    format: Literal["triplet-kws", "wav2vec1"], file: Path, *, out: Path, task: str = "keyword"
) -> None:
    """Turn published weights into a run folder; enroll classes into it next.

    Args:
        format: triplet-kws, the Res8 and Res15 checkpoints of arXiv 2101.04792; or wav2vec1, a
            fairseq checkpoint of wav2vec (arXiv 1904.05862), read without fairseq.
        file: the authors' checkpoint.
        out: run folder to write.
        task: label column that classes are enrolled from.
    """
    if (out / "config.json").exists():
        raise ConfigError(f"{out}: holds a finished run; choose another --out")
    if format == "triplet-kws":
        encoder, state = read_triplet_kws(file)
        state = {f"encoder.{name}": value for name, value in state.items()}
        upstream = {"name": "logmel", "mels": 64, "pad_to": 16, "encoder": encoder}
    else:
        options, state = read_wav2vec1(file)
        upstream = {"name": "wav2vec1", **options}
    config = ModelConfig(upstream=upstream, backend={"name": "pooled", "pooling": "average"})
    model = build_model(config, classes=0)
    model.upstream.load_state_dict(state)
    dim = int(model.backend.dim)  # type: ignore[arg-type]
    rule = Neighbours([], np.zeros((0, dim), np.float32), np.zeros(0, np.int64))
    training = {"recipe": f"import {format}", "source": file.name}
    save(Bundle(config, model.eval(), task, rule, training), out)
    say(f"{out}: imported; next: noisewise enroll {out} --data CORPUS")
