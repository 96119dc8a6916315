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
from noisewise.upstream.published import read_triplet_kws


def import_weights(format: Literal["triplet-kws"], file: Path, *, out: Path) -> None:
    """Turn published weights into a run folder; enroll classes into it next.

    Args:
        format: triplet-kws, the Res8 and Res15 checkpoints of arXiv 2101.04792.
        file: the authors' checkpoint.
        out: run folder to write.
    """
    if (out / "config.json").exists():
        raise ConfigError(f"{out}: holds a finished run; choose another --out")
    encoder, state = read_triplet_kws(file)
    config = ModelConfig(
        upstream={"name": "logmel", "mels": 64, "pad_to": 16, "encoder": encoder},
        backend={"name": "pooled", "pooling": "average"},
    )
    model = build_model(config, classes=0)
    model.upstream.encoder.load_state_dict(state)  # type: ignore[union-attr]
    rule = Neighbours([], np.zeros((0, int(encoder["maps"])), np.float32), np.zeros(0, np.int64))
    training = {"recipe": f"import {format}", "source": file.name}
    save(Bundle(config, model.eval(), "keyword", rule, training), out)
    say(f"{out}: imported; next: noisewise enroll {out} --data CORPUS")
