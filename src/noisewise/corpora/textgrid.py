"""A small reader of Praat TextGrid files, as forced aligners write them.

Praat's long and short text formats hold the same values in the same order: it reads
free-standing numbers, quoted strings and ``<flags>`` and takes all else for comment. So
does this reader, and one parser serves both formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from noisewise.errors import CorpusError

_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)|<(\w+)>'
)


class Interval(NamedTuple):
    """A labelled stretch of time, in seconds."""

    start: float
    end: float
    text: str


def read_tier(path: Path | str, tier: str = "words") -> list[Interval]:
    """Intervals of one tier of a TextGrid file.

    Args:
        path: a TextGrid, in UTF-8, UTF-16 with a byte order mark, or Latin-1.
        tier: its name in any case, alone or after a speaker's ("speaker - words").

    Raises:
        CorpusError: unreadable, not a TextGrid, cut off, or without such a tier.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from error
    try:
        return parse_tier(_decode(data), tier)
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from error


def parse_tier(text: str, tier: str = "words") -> list[Interval]:
    """Intervals of one tier of a TextGrid's text.

    >>> head = 'File type = "ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "words"'
    >>> parse_tier(head + ' 0 1 2  0 0.4 "hello"  0.4 1 ""')
    [Interval(start=0.0, end=0.4, text='hello'), Interval(start=0.4, end=1.0, text='')]

    Raises:
        CorpusError: not a TextGrid, cut off, or without such a tier.
    """
    tokens = _tokens(text)
    names = []
    try:
        if _string(tokens) != "ooTextFile" or _string(tokens) != "TextGrid":
            raise CorpusError('not a TextGrid (expected "ooTextFile" and "TextGrid" first)')
        _number(tokens), _number(tokens)
        if _flag(tokens) == "exists":
            for _ in range(_count(tokens)):
                kind, name = _string(tokens), _string(tokens)
                _number(tokens), _number(tokens)
                size = _count(tokens)
                names.append(name)
                if kind == "IntervalTier":
                    intervals = _intervals(tokens, size)
                    if re.split(r"\s+-\s+", name.strip().lower())[-1] == tier.lower():
                        return intervals
                else:
                    for _ in range(size):
                        _number(tokens), _string(tokens)
    except StopIteration:
        raise CorpusError("TextGrid is cut off") from None
    raise CorpusError(f"no interval tier {tier!r}; its tiers are {names}")


def _decode(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(text):
        string, number, flag = match.groups()
        if number is not None:
            yield "number", number
        elif string is not None:
            yield "string", string.replace('""', '"')
        else:
            yield "flag", flag


def _intervals(tokens: Iterator[tuple[str, str]], size: int) -> list[Interval]:
    values = list(islice(tokens, 3 * size))
    if len(values) < 3 * size:
        raise CorpusError("TextGrid is cut off")
    kinds = ("number", "number", "string")
    wrong = [value for i, value in enumerate(values) if value[0] != kinds[i % 3]]
    if wrong:
        raise CorpusError(f"TextGrid is damaged: {wrong[0][0]} {wrong[0][1]!r} out of place")
    triples = zip(values[::3], values[1::3], values[2::3], strict=True)
    return [Interval(float(a[1]), float(b[1]), text[1]) for a, b, text in triples]


def _take(tokens: Iterator[tuple[str, str]], kind: str) -> str:
    found, value = next(tokens)
    if found != kind:
        raise CorpusError(f"TextGrid is damaged: found {found} {value!r}, expected a {kind}")
    return value


def _string(tokens: Iterator[tuple[str, str]]) -> str:
    return _take(tokens, "string")


def _number(tokens: Iterator[tuple[str, str]]) -> float:
    return float(_take(tokens, "number"))


def _count(tokens: Iterator[tuple[str, str]]) -> int:
    value = _number(tokens)
    if not 0 <= value < 1e9:
        raise CorpusError(f"TextGrid is damaged: {value:g} is not a number of tiers or intervals")
    return int(value)


def _flag(tokens: Iterator[tuple[str, str]]) -> str:
    return _take(tokens, "flag")
