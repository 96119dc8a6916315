"""The command line: a table of verbs, each a function in `noisewise.commands`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from noisewise import __version__
from noisewise.errors import NoisewiseError, one_line

# Workers and the main process share the cores. OpenMP threads that spin while they wait take
# time from the workers, so they are told to sleep; this must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

COMMANDS = {
    "demo": "train in noise and without, and compare: the whole point, in minutes",
    "recipes": "what ships, one line each",
    "train": "train a recipe on a corpus into a run folder",
    "pretrain": "train a self-supervised upstream on unlabelled audio",
    "evaluate": "measure runs over noise type x SNR x room: results.json and report.html",
    "cross-validate": "train and test on every fold of a corpus: figures of all folds together",
    "embed": "write embeddings of a corpus as Parquet shards, resumable",
    "verify": "say whether one speaker is heard in two clips",
    "predict": "answer for audio files, as JSON lines",
    "enroll": "add classes to a run from a few clips, without training",
    "enhance": "write what a run's enhancer makes of audio files",
    "corrupt": "write a seeded noisy copy of a corpus with a hashed manifest",
    "import": "turn published weights into a run folder",
}
"""Verb -> one line of help; `function_name` says what its function is called."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0 done, 1 done with skipped files, 2 refused, 130 interrupted, 141 nobody reads the output.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help"):
        print(usage())
        return 0
    if verb == "--version":
        print(__version__)
        return 0
    if verb not in COMMANDS:
        print(f"noisewise: no command {verb!r}; see noisewise --help", file=sys.stderr)
        return 2
    name = function_name(verb)
    try:
        # heavy: Ctrl-C may well come while these are imported
        function = getattr(import_module(f"noisewise.commands.{name}"), name)
        from noisewise.cli import run

        status = int(run(function, f"noisewise {verb}", arguments[1:]) or 0)
        sys.stdout.flush()
        return status
    except NoisewiseError as error:
        print(f"noisewise {verb}: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"noisewise {verb}: interrupted; the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # "noisewise predict ... | head" has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains as it ends
        return 141


def function_name(verb: str) -> str:
    """What a verb's function, and the module it is in, is called.

    >>> function_name("cross-validate"), function_name("import")
    ('cross_validate', 'import_weights')
    """
    return "import_weights" if verb == "import" else verb.replace("-", "_")


def usage() -> str:
    """The list of commands."""
    lines = ["noisewise: speech models that still work in noise", ""]
    lines += [f"  noisewise {verb:<15}{text}" for verb, text in COMMANDS.items()]
    return "\n".join([*lines, "", "noisewise COMMAND --help tells more of each."])


if __name__ == "__main__":
    sys.exit(main())
