"""Run every benchmark, each in a fresh process, and write ``bench.md``, losses included."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
TITLES = {
    "bench_triplet": "All-triplet loss, forward and backward",
    "bench_mixing": "Mixing noise into a batch",
    "bench_res15": "Res15 inference",
    "bench_phonetic": "Phonetic neighbours",
    "bench_embedding": "Self-supervised frames to pooled vector",
    "bench_pooling": "Poolings",
    "bench_small": "noisewise-small on one core",
    "bench_scoring": "Scoring speaker verification",
    "bench_enhancers": "Enhancers on one core",
    "bench_pitch": "F0 and mel spectrogram on one core",
    "bench_emotion": "A training step of the recipes of emotion",
}


def main(names: list[str]) -> None:
    """Run the named benchmarks (default: all) and rewrite their sections."""
    stored = HERE / "results.json"
    results = json.loads(stored.read_text()) if stored.is_file() else {}
    for name in names or TITLES:
        print(name, flush=True)
        code = f"import json; from bench.{name} import run; print('ROWS' + json.dumps(run()))"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=HERE.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        rows = [line[4:] for line in done.stdout.splitlines() if line.startswith("ROWS")]
        if done.returncode or not rows:
            sys.exit(f"{name} failed:\n{done.stderr}")
        results[name] = json.loads(rows[-1])
    stored.write_text(json.dumps(results, indent=1) + "\n")
    (HERE.parent / "bench.md").write_text(page(results))


def page(results: dict[str, list[dict[str, object]]]) -> str:
    """The Markdown of all results."""
    lines = [
        "# Speed and memory",
        "",
        "Written by `python -m bench` (`pip install -e '.[bench]'`). Ours and the peer run in one",
        "process or pairwise interleaved, the figure is the median, and values are checked to be",
        "equal before times are compared. A ratio below 1 is a loss.",
        "",
        f"Machine: {_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"torch {version('torch')}.",
    ]
    for name, title in TITLES.items():
        rows = results.get(name)
        if not rows:
            continue
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines += ["", f"## {title}", "", "| " + " | ".join(columns) + " |"]
        lines += ["|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(_cell(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value).replace("|", "/")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main(sys.argv[1:])
