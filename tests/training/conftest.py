"""What tests of training share: training in a process of its own, which can be killed."""

import pytest

SCRIPT = """
import os, signal, sys
from noisewise.recipe import Recipe
from noisewise.training import loop
from noisewise.training.run import train
loop.CHECKPOINT_SECONDS = 0.0  # a checkpoint after every step
recipe, out, workers, end = sys.argv[1:]
def report(phase, step, figures):
    if f"{phase.name} {step}" == end:
        os.kill(os.getpid(), signal.SIGKILL)
train(Recipe.model_validate_json(recipe), out, workers=int(workers), report=report)
"""


@pytest.fixture(scope="session")
def killed(processes):
    """Train in a process of its own, which kills itself after the step "PHASE NUMBER"."""

    def call(recipe, out, end, workers=0):
        processes.start(SCRIPT, recipe.model_dump_json(), out, workers, end).die()
        assert (out / "checkpoint.safetensors").is_file()
        assert not (out / "config.json").exists()

    return call
