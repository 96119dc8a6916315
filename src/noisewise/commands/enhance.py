"""``noisewise enhance``."""

from __future__ import annotations

from pathlib import Path

from noisewise.bundle import load
from noisewise.commands.console import progress_bar, say
from noisewise.enhanced import enhance_files, planned_files


def enhance(run: Path, audio: list[Path], *, out: Path, device: str = "cpu") -> int:
    """Write what a run's enhancer makes of audio files: 16 kHz mono WAV, 16 bits.

    A finished file, which has the time of its source, is not made again when the command is
    repeated. Files that cannot be used are listed, and make the exit status 1.

    Args:
        run: run folder of a model with an enhancer.
        audio: files, or folders that are searched for them.
        out: folder of the results, in which the files of a folder keep their place.
        device: cpu, cuda or mps.
    """
    bundle = load(run, device)
    plan = planned_files(audio, out)
    with progress_bar() as bar:
        task = bar.add_task("enhancing", total=len(plan), note="")
        done = enhance_files(bundle, plan, out, progress=lambda n: bar.advance(task, n))
    for source, reason in done.skipped:
        say(f"skipped {source}: {reason}")
    for target, loss in done.turned_down:
        say(f"{target}: turned down by {loss:.1f} dB, it would have exceeded full scale")
    kept = f", {done.kept} were there already" if done.kept else ""
    say(f"{out}: {done.written} files enhanced{kept}")
    return int(bool(done.skipped))
