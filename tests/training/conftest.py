"""What tests of training share: training in a process of its own, which can be killed."""

import os
import signal
import subprocess
import sys

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


class Processes:
    """Starts Python in a process of its own, with one thread, and waits for its end."""

    @staticmethod
    def start(*words):
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    @staticmethod
    def finish(process):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors

    @staticmethod
    def die(process):
        """Wait for one that kills itself, and for the end of what it started."""
        _, errors = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, errors


@pytest.fixture(scope="session")
def processes():
    return Processes


@pytest.fixture(scope="session")
def killed(processes):
    """Train in a process of its own, which kills itself after the step "PHASE NUMBER"."""

    def call(recipe, out, end, workers=0):
        words = ("-c", SCRIPT, recipe.model_dump_json(), out, workers, end)
        processes.die(processes.start(*words))
        assert (out / "checkpoint.safetensors").is_file()
        assert not (out / "config.json").exists()

    return call
