"""What noise and room layouts share: listing, choosing and grouping their files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from noisewise.corpora.listing import list_audio
from noisewise.errors import ConfigError
from noisewise.noise.recordings import Windows
from noisewise.noise.sources import NoiseSource, Recordings

Items = list[tuple[str, Path]]
"""(class, path) of each recording."""


def pick(text: str, known: Sequence[str], option: str) -> list[str]:
    """The names in "a+b", or numbers in "1-3+5", each of which must be known.

    >>> pick("1-2+4", ["1", "2", "3", "4"], "folds")
    ['1', '2', '4']

    Raises:
        ConfigError: names what is not known.
    """
    names: list[str] = []
    for part in text.split("+"):
        span = re.fullmatch(r"(\d{1,6})-(\d{1,6})", part)
        if span:
            names += map(str, range(int(span[1]), int(span[2]) + 1))
        else:
            names.append(part)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigError(f"{option}={text!r}: {unknown} not there; known: {', '.join(known)}")
    return list(dict.fromkeys(names))


def count(text: str, option: str) -> int | tuple[int, int]:
    """A whole number of at least 1, or the (fewest, most) of "3-6".

    Raises:
        ConfigError: anything else.
    """
    found = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text)
    fewest, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= fewest <= most:
        raise ConfigError(f"{option}={text!r} is not a whole number of at least 1, or two as 3-6")
    return fewest if fewest == most else (fewest, most)


def window_spec(text: str, option: str) -> Windows | None:
    """Windows of "SECONDS/HOP", such as "5/3"; None of "".

    Raises:
        ConfigError: anything else.
    """
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", text)
    if not found:
        raise ConfigError(f"{option}={text!r} is not SECONDS/HOP, such as 5/3")
    return Windows(float(found[1]), float(found[2]))


def audio_files(folder: Path, expected: str) -> list[Path]:
    """Every audio file below ``folder``, sorted; errors as `listing.list_audio`."""
    return [folder / file for file in list_audio(folder, expected).files]


def matching(root: Path, paths: Iterable[Path], match: str) -> list[Path]:
    """The paths whose part below ``root`` fits a glob.

    Raises:
        ConfigError: none does.
    """
    out = [path for path in paths if fnmatch(path.relative_to(root).as_posix(), match)]
    if not out:
        raise ConfigError(f"{root}: no audio file matches {match!r}")
    return out


def chosen(root: Path, items: Items, classes: str, match: str) -> Items:
    """The items of some classes ("a+b"; "" for all) whose path fits a glob.

    Raises:
        ConfigError: an unknown class, or nothing left.
    """
    if classes:
        known = sorted({label for label, _ in items})
        wanted = pick(classes, known, "classes")
        items = [item for item in items if item[0] in wanted]
    kept = set(matching(root, (path for _, path in items), match))
    return [item for item in items if item[1] in kept]


def grouped(
    root: Path, items: Items, by: str, classes: str, match: str, name: str
) -> list[NoiseSource]:
    """One source for all chosen items, or with ``by`` "class" one for each class.

    Raises:
        ConfigError: another ``by``; or as `chosen`.
    """
    if by not in ("all", "class"):
        raise ConfigError(f"by={by!r}; known: all, class")
    groups: dict[str, list[Path]] = defaultdict(list)
    for label, path in chosen(root, items, classes, match):
        groups[f"-{label}" if by == "class" else ""].append(path)
    return [Recordings(f"{name}{group}", groups[group]) for group in sorted(groups)]
