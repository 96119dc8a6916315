"""``report.html``: one file that shows what evaluations measured, offline, in light or dark.

No script, nothing fetched; everything from the data (labels, file names, run names) is escaped,
and a content security policy in the page forbids the rest.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from noisewise.errors import ConfigError
from noisewise.evaluation import sections
from noisewise.evaluation.fold_tables import fold_tables
from noisewise.evaluation.page import page
from noisewise.evaluation.results import Results
from noisewise.evaluation.wording import summary
from noisewise.files import write_atomic

PACKAGES = (
    "noisewise",
    "torch",
    "numpy",
    "soundfile",
    "faiss-cpu",
    "scikit-learn",
    "pystoi",
    "pesq",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Extras:
    """What a report shows beyond the results.

    Attributes:
        command: the command that made the report.
        seed: of the noise.
        embeddings: run name -> (clips, dim) embeddings and the label of each, for the map.
        noise: how the summary calls the noise, for instance "noises it never heard".
        versions: of the software; by default what is installed.
        audio_bytes: no more sound than this goes into the page; clips beyond are only listed.
    """

    command: str = ""
    seed: int | None = None
    embeddings: Mapping[str, tuple[np.ndarray, Sequence[str]]] = field(default_factory=dict)
    noise: str = "noise"
    versions: Mapping[str, str] = field(default_factory=versions)
    audio_bytes: int = 6_000_000


def write_report(
    path: Path | str,
    results: Sequence[Results],
    *,
    extras: Extras | None = None,
    metric: str | None = None,
) -> None:
    """Write a self-contained report on one run, or a comparison of several with the first.

    The clips in ``Results.hardest`` that carry samples, and those in ``Results.enhanced``, can be
    listened to. The same input gives the same bytes.

    Args:
        path: of the HTML file; its folder is made if need be.
        results: one a run.
        extras: what to show beyond the results.
        metric: the leading metric; the first one of the first run by default.

    Raises:
        ConfigError: no results, or a metric that none of them has.
    """
    if not results:
        raise ConfigError("a report needs the results of at least one run")
    extras = extras or Extras()
    known = list(dict.fromkeys(name for r in results for name in r.metrics))
    if metric is not None and metric not in known:
        raise ConfigError(f"no metric {metric!r} in the results; they have {known}")
    metrics = [metric or (known[0] if known else "accuracy")]
    metrics += [name for name in known if name != metrics[0]]
    enhanced, used = sections.enhanced(results, extras.audio_bytes)
    parts = {
        "In noise": sections.in_noise(results, metrics),
        "Sweep": sections.against(results, metrics[0]),
        "Folds": fold_tables(results, metrics),
        "Comparison": sections.comparison(results, metrics),
        "Numbers": sections.numbers(results, metrics),
        "Enhanced": enhanced,
        "Confusions": sections.confusions(results, metrics[0]),
        "Rejection": sections.rejection(results),
        "Map": sections.maps(results, extras.embeddings, extras.seed or 0),
        "Hardest clips": sections.hardest(results, extras.audio_bytes - used),
        "Left out": sections.left_out(results),
        "How it was made": sections.made(results, extras.command, extras.seed, extras.versions),
    }
    names = ", ".join(r.run for r in results if r.run) or "evaluation"
    percent = f"{100 * results[0].confidence:g} %"
    content = page(
        f"{names}: {results[0].task} in noise",
        " ".join(summary(results, metrics[0], extras.noise)),
        f"In brackets and shaded: {percent} confidence intervals.",
        {name: part for name, part in parts.items() if part},
        extras.versions.get("noisewise", ""),
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.encode("utf-8", "replace"))
