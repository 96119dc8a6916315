"""A training step of each recipe of emotion on one core, against one of `emotion-ser`.

Sixteen clips of three seconds, forward, backward and update, in the precision of the recipes. Clips
that were heard before are those of training without augmentation, whose frozen frames and F0 are
kept; new ones are those of training in noise.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch

from bench.bench_embedding import some_clips
from bench.measure import paired
from noisewise.bundle import build_model
from noisewise.components import build
from noisewise.recipe import Recipe, load_recipe
from noisewise.seeding import torch_rng
from noisewise.training.objective import Batch
from noisewise.training.passes import Pass, Sealed
from noisewise.training.phases import freeze_statistics, phase_terms, trainable
from noisewise.training.run import add_objectives
from noisewise.types import SAMPLE_RATE, Waves

RECIPES = ("emotion-ser", "emotion-ser-asr", "emotion-single-encoder", "emotion-decomposed")
CLIPS, SECONDS, REPEATS = 16, 3, 5
NEW = count(1)
"""Numbers of batches that nobody has heard."""
EMOTIONS = [str(number) for number in range(8)]
SPEAKERS = [str(number) for number in range(9)]


def run() -> list[dict[str, object]]:
    """Rows of medians in ms on one core."""
    torch.set_num_threads(1)
    base = _Steps(load_recipe(RECIPES[0]))
    rows: list[dict[str, object]] = []
    for name in RECIPES:
        own = _Steps(load_recipe(name))
        for heard in (True, False):
            ours_ms, peer_ms = paired(own.step(heard), base.step(heard), REPEATS)
            rows.append(
                {
                    "case": f"{name}, {'kept' if heard else 'new'} clips",
                    "ours_ms": ours_ms,
                    "peer_ms": peer_ms,
                    "ratio": peer_ms / ours_ms,
                    "peer": RECIPES[0],
                    "note": f"{own.learning / 1e6:.1f} million parameters learn",
                }
            )
    return rows


class _Steps:
    """Training steps of a recipe's only phase."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(0)
        self.phase = recipe.phases[0]
        self.model = build_model(recipe.model, len(EMOTIONS))
        add_objectives(self.model, recipe, EMOTIONS, SPEAKERS)
        self.terms = phase_terms(
            self.phase, EMOTIONS, [1] * len(EMOTIONS), None, SPEAKERS, self.model.backend.dim
        )
        parameters = trainable(self.model, self.phase.train)
        self.learning = sum(p.numel() for p in parameters)
        self.optimizer = build("optimizer", self.phase.optimizer, params=parameters)
        self.whole = Pass(self.model, lambda model, batch, phase: model(batch.noisy), self.phase)
        self.sound = torch.from_numpy(some_clips()[0][0]).float()

    def step(self, heard: bool) -> Callable[[], object]:
        """A step on clips that were heard before, or on others at every call."""

        def once() -> None:
            batch = self._batch(0 if heard else next(NEW))
            self.model.train()
            freeze_statistics(self.model, self.phase.train)
            with torch.autocast("cpu", torch.bfloat16):
                loss, _ = self.whole(Sealed(batch), self.terms, None)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

        if heard:
            once()  # kept from the second time on
        return once

    def _batch(self, number: int) -> Batch:
        size = SECONDS * SAMPLE_RATE
        voice = self.sound.repeat(-(-size // len(self.sound)))[:size]
        noise = torch.randn(CLIPS, size, generator=torch_rng(0, "bench emotion", number))
        waves = Waves(voice + 0.01 * noise, torch.full((CLIPS,), size))
        values = {
            "text": ["kids are talking by the door"] * CLIPS,
            "speaker": [SPEAKERS[place % len(SPEAKERS)] for place in range(CLIPS)],
        }
        labels = torch.arange(CLIPS) % len(EMOTIONS)
        return Batch(waves, waves, labels, torch_rng(0), values=values)


if __name__ == "__main__":
    for row in run():
        print(row)
