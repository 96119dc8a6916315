"""The list of clips of a synthetic corpus: who says what, how, on which side of the split."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from noisewise.corpora.espeak import Voice
from noisewise.corpora.silence_unknown import SILENCE, UNKNOWN
from noisewise.corpora.synthetic_texts import OTHER_WORDS, command_texts, intent_name
from noisewise.corpora.synthetic_voices import STYLES, Person
from noisewise.errors import ConfigError
from noisewise.seeding import fraction

_WORD = re.compile(r"[^\W\d_](?:[^\W_]|[' -])*")


@dataclass(frozen=True)
class Clip:
    """One clip of the corpus; ``speaker`` is "" and ``voice`` None in silence."""

    id: str
    split: str
    speaker: str
    voice: Voice | None
    style: str
    labels: tuple[tuple[str, str], ...]


def check_words(words: Sequence[str]) -> tuple[str, ...]:
    """The keywords as a tuple.

    Raises:
        ConfigError: none, not letters, or one of them twice.
    """
    words = (words,) if isinstance(words, str) else tuple(words)
    wrong = [word for word in words if not _WORD.fullmatch(word)]
    if wrong or not words:
        raise ConfigError(
            f"synthetic corpus: each of words must be a word or a short phrase of letters, got "
            f"{wrong[0] if wrong else 'none'!r}"
        )
    if len({_slug(word) for word in words}) < len(words):
        raise ConfigError(f"synthetic corpus: a word is twice in {', '.join(words)}")
    return words


def _slug(text: str) -> str:
    return re.sub(r"[^\w-]", "_", text.lower())


def keyword_clips(
    speakers: Sequence[Person],
    takes: int,
    words: Sequence[str],
    unknown: int,
    silence: int,
    styles: Sequence[str],
    seed: int,
) -> Iterator[Clip]:
    """Every keyword clip: ``takes`` of each word by each speaker, and of the extra classes.

    Raises:
        ConfigError: no other words are left to make ``_unknown_`` from.
    """
    silent = (("keyword", SILENCE), ("text", ""), ("style", ""))
    others = [word for word in OTHER_WORDS if word not in {w.lower() for w in words}]
    if unknown and not others:
        raise ConfigError(f"synthetic corpus: no other words are left for {UNKNOWN}; unknown=0?")
    for person, take in product(speakers, range(takes)):
        for word in words:
            id_ = f"{person.split}/{_slug(word)}/{person.name}_{take}"
            yield _spoken(id_, person, styles, seed, keyword=word, text=word)
        for number in range(take * unknown, (take + 1) * unknown):
            word = others[int(fraction(seed, UNKNOWN, person.name, number) * len(others))]
            id_ = f"{person.split}/{UNKNOWN}/{word}_{person.name}_{number}"
            yield _spoken(id_, person, styles, seed, keyword=UNKNOWN, text=word)
        for number in range(take * silence, (take + 1) * silence):
            id_ = f"{person.split}/{SILENCE}/{person.name}_{number}"
            yield Clip(id_, person.split, "", None, "", silent)


def command_clips(
    speakers: Sequence[Person], takes: int, styles: Sequence[str], seed: int
) -> Iterator[Clip]:
    """Every command clip; each has one of its intent's wordings at random."""
    for person, take, (slots, wordings) in product(speakers, range(takes), command_texts().items()):
        id_ = f"{person.split}/{_slug('-'.join(slots))}/{person.name}_{take}"
        labels = dict(zip(("action", "object", "location"), slots, strict=True))
        text = wordings[int(fraction(seed, "wording", id_) * len(wordings))]
        yield _spoken(id_, person, styles, seed, intent=intent_name(slots), **labels, text=text)


def _spoken(id_: str, person: Person, styles: Sequence[str], seed: int, **labels: str) -> Clip:
    """A clip by ``person`` in one of ``styles``, no two takes quite alike."""
    name = styles[int(fraction(seed, "style", id_) * len(styles))]
    style, voice = STYLES[name], person.voice
    pitch = voice.pitch + style.pitch + round(6 * fraction(seed, "pitch", id_) - 3)
    rate = round(voice.rate * style.rate * (0.95 + 0.1 * fraction(seed, "rate", id_)))
    voice = replace(voice, pitch=pitch, rate=rate, pitch_range=style.pitch_range)
    return Clip(id_, person.split, person.name, voice, name, (*labels.items(), ("style", name)))
