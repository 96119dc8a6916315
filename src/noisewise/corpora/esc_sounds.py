"""ESC-10 and ESC-50 as a corpus of environmental sounds (Piczak 2015); layouts as in `esc`."""

from __future__ import annotations

from pathlib import Path

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.esc import esc_rows, is_esc
from noisewise.errors import ConfigError


def matches(root: Path) -> bool:
    """Whether ``root`` is in one of the layouts of ESC."""
    return is_esc(root)


def load(root: Path, subset: str = "", test: int = 5, validation: int = 4) -> Corpus:
    """Open ESC; its folds are the splits.

    Args:
        root: the folder.
        subset: "esc10" or "esc50" of the published layout; "" takes all that is there.
        test: fold to test on; the published protocol takes each of the five in turn.
        validation: fold to select on; the others are for training.

    Returns:
        Rows with the column ``sound``.

    Raises:
        ConfigError: folds that are not there, one fold twice, or an unknown subset.
        CorpusError: missing, half-downloaded or of another layout.
    """
    listed = esc_rows(root, subset)
    folds = sorted({fold for _, fold, _ in listed})
    if test == validation or not {test, validation} <= set(folds):
        raise ConfigError(f"test={test}, validation={validation} must be two of the folds {folds}")
    split = {test: "test", validation: "validation"}
    rows = [
        {"id": path.stem, "audio": str(path), "split": split.get(fold, "train"), "sound": label}
        for label, fold, path in listed
    ]
    labels = {"sound": sorted({label for label, _, _ in listed})}
    return Corpus("esc50", make_rows(rows, ("sound",)), "sound", labels)
