"""The table of corpora, and `open_corpus`, which finds the right one for a folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noisewise.errors import ConfigError, CorpusError

if TYPE_CHECKING:
    from noisewise.corpora.base import Corpus

LAYOUTS = {
    "manifest": "noisewise.corpora.manifest",
    "speech_commands": "noisewise.corpora.speech_commands",
    "librispeech_words": "noisewise.corpora.librispeech_words",
    "voxceleb1": "noisewise.corpora.voxceleb1",
    "voxceleb2": "noisewise.corpora.voxceleb2",
    "fluent_speech_commands": "noisewise.corpora.fluent_speech_commands",
    "iemocap": "noisewise.corpora.iemocap",
    "ravdess": "noisewise.corpora.ravdess",
    "emodb": "noisewise.corpora.emodb",
    "emobox": "noisewise.corpora.emobox",
    "speech_to_intent": "noisewise.corpora.speech_to_intent",
    "esc50": "noisewise.corpora.esc_sounds",
    "unlabelled": "noisewise.corpora.unlabelled",
    "folder": "noisewise.corpora.folder",
    "synthetic": "noisewise.corpora.synthetic",
}
"""Name -> module with ``matches(root)`` and ``load(root, **options)``; most special first."""


def open_corpus(
    root: str | Path | None, name: str = "auto", *, labels: bool = True, **options: Any
) -> Corpus:
    """Open a corpus.

    Args:
        root: its folder, or its manifest file; None for the synthetic corpus.
        name: its layout, a key of `LAYOUTS`; "auto" takes the first that fits ``root``.
        labels: whether they are needed. If not, "auto" takes a folder of nothing but clips too.
        options: keyword arguments of that layout's ``load``.

    Returns:
        The corpus, its audio undecoded.

    Raises:
        ConfigError: an unknown layout, or an option that the layout does not have.
        CorpusError: missing, half-downloaded or unrecognised; says what was expected where.
    """
    path = None if root is None else Path(root).expanduser()
    if name == "auto":
        name = "synthetic" if path is None else detect(path)
        own = import_module(LAYOUTS["unlabelled"])
        if not labels and name == "folder" and path is not None and own.is_flat(path):
            name = "unlabelled"
    if name not in LAYOUTS:
        raise ConfigError(f"unknown corpus {name!r}; known: auto, {', '.join(LAYOUTS)}")
    if path is None and name != "synthetic":
        raise ConfigError(f"corpus {name!r} needs the folder that it is in")
    load = import_module(LAYOUTS[name]).load
    check_options(load, options, f"corpus {name!r}")
    corpus: Corpus = load(path, **options)
    return corpus


def detect(root: Path) -> str:
    """Name of the layout that ``root`` is in.

    Raises:
        CorpusError: no layout fits.
    """
    # the synthetic corpus is made, not found
    for name, module in LAYOUTS.items():
        if name != "synthetic" and import_module(module).matches(root):
            return name
    from noisewise.corpora.listing import require_folder

    expected = (
        "a folder of <label>/<clip> audio, a manifest of JSON lines, or one of the layouts "
        f"{', '.join(name for name in LAYOUTS if name not in ('folder', 'manifest', 'synthetic'))}"
    )
    require_folder(root, expected)
    raise CorpusError(f"{root}: not a corpus that is known here; expected {expected}")


def check_options(function: Callable[..., Any], options: Mapping[str, Any], what: str) -> None:
    """Refuse options that ``function`` has no keyword for; its first parameter is not one.

    Raises:
        ConfigError: names the unknown options and the known ones.
    """
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"{what} has no option {', '.join(map(repr, unknown))}; known: "
            f"{', '.join(known) or 'none'}"
        )
