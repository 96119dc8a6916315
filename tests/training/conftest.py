"""What tests of training share: training in a process of its own, which can be killed."""

import os
import signal
import subprocess
import sys

import pytest


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
