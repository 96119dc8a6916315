"""Transcripts as symbols: what of a text is learnt and compared, and the numbers it becomes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from noisewise.errors import ConfigError

ENGLISH = " 'abcdefghijklmnopqrstuvwxyz"
"""Space, apostrophe and the English letters."""

TEXT = "text"
"""The label column of transcripts, in every corpus that has them."""

BLANK = 0
"""The symbol of CTC that stands for no character (Graves et al. 2006)."""

_TAGS = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|<[^<>]*>")
_BRACKETS = frozenset("{}[]<>")
_ALIKE = {
    **dict.fromkeys("\u2018\u2019\u201b\u02bc\u0060\u00b4\u2032", "'"),
    **{"\u00df": "ss", "\u00e6": "ae", "\u0153": "oe", "\u00f8": "o", "\u0142": "l"},
    **{"\u0111": "d", "\u00f0": "d", "\u00fe": "th", "\u0131": "i"},
}


@dataclass(frozen=True)
class Vocabulary:
    """The characters of transcripts; symbol 0 is CTC's blank, then they follow in order.

    Attributes:
        characters: lower-case and each once; a space among them separates words.

    Raises:
        ConfigError: no characters, one twice, an upper-case one, a bracket, or white space that is
            not the plain space.

    Example:
        >>> Vocabulary().encode("It's  2 late!"), Vocabulary().decode([3, 0, 1])
        ([11, 22, 2, 21, 1, 14, 3, 22, 7], 'a')
    """

    characters: str = ENGLISH

    def __post_init__(self) -> None:
        wrong = [
            c
            for c in self.characters
            if c in _BRACKETS or c.lower() != c or (c.isspace() and c != " ")
        ]
        twice = len(set(self.characters)) < len(self.characters)
        if wrong or twice or not self.characters.strip():
            raise ConfigError(
                f"vocabulary {self.characters!r}: it must be lower-case characters, each once, "
                "and no brackets or white space but the plain space"
            )

    @property
    def size(self) -> int:
        """Number of symbols, the blank among them."""
        return 1 + len(self.characters)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.characters, BLANK + 1)}

    def normalise(self, text: str | None) -> str:
        """What of a text is learnt: characters of the vocabulary, with single spaces between words.

        Lower-case; remarks in ``{}``, ``[]`` or ``<>`` go; typographic apostrophes, accents and
        ligatures become plain where the vocabulary lacks them, dashes become spaces. Then what is
        left outside the vocabulary is removed, and only then spaces are joined: a removed sign
        leaves no double space behind. "" where there is no transcript.

        >>> Vocabulary().normalise("Well-known \u2014 na\u00efve . [LAUGHTER]  isn\u2019t it?")
        "well known naive isn't it"
        """
        whole = unicodedata.normalize("NFC", _TAGS.sub(" ", text or "").lower())
        kept = "".join(self._plain(character) for character in whole)
        return (" " if " " in self._number else "").join(kept.split())

    def _plain(self, character: str) -> str:
        """A character as the vocabulary has it; a space, or nothing, where it has not."""
        if character in self._number:
            return character
        if character.isspace() or unicodedata.category(character) == "Pd":
            return " "
        alike = _ALIKE.get(character) or unicodedata.normalize("NFKD", character).lower()
        # a sign that stands alone decomposes into a space and its mark
        return "".join(c for c in alike if c in self._number and c != " ")

    def encode(self, text: str | None) -> list[int] | None:
        """Symbols of a normalised text; None where there is no transcript."""
        return [self._number[character] for character in self.normalise(text)] or None

    def decode(self, symbols: Iterable[int]) -> str:
        """The text of symbols, without blanks and with single spaces between words."""
        text = "".join(self.characters[symbol - 1] for symbol in symbols if symbol != BLANK)
        return " ".join(text.split())
