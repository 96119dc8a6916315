"""The speakers of the synthetic corpus, and the styles in which they speak.

Of eSpeak's 101 voice variants and the plain voice, 64 are used. Left out are those that a
keyword model trained on people misheard more often than the plain voice, the robots and other
effects, and one that equals the plain voice. Variants that sound alike (a mean log-mel
distance, along the best alignment, under 0.6 nats; another pitch or rate of one variant is 0.2
to 0.4 away) form a family, and a family is on one side of the split only: a voice in the test
set is not a retuned voice of the training set.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain, product

from noisewise.corpora.base import FRACTIONS, SPLITS
from noisewise.corpora.espeak import ACCENTS, Voice
from noisewise.errors import ConfigError
from noisewise.seeding import fraction

FAMILIES: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {
    "train": {
        "female": (
            ("f3", "f4", "aunty"),
            ("steph", "steph2", "steph3"),
            ("Annie",),
            ("anika",),
            ("grandma",),
        ),
        "male": (
            (
                "",
                "Alex",
                "Mario",
                "Mike",
                "Mr serious",
                "Nguyen",
                "Tweaky",
                "grandpa",
                "john",
                "max",
                "m1",
                "m3",
                "m4",
                "m5",
                "m6",
                "m7",
                "pedro",
            ),
            ("Denis", "Diogo", "Henrique", "Hugo", "michel", "miguel", "victor"),
            ("Gene", "Gene2"),
            ("boris",),
            ("pablo",),
            ("Jacky",),
            ("m2",),
            ("Storm",),
            ("Marco",),
            ("iven", "iven4"),
        ),
    },
    "validation": {"female": (("belinda",),), "male": (("ed", "paul"), ("RicishayMax",))},
    "test": {
        "female": (("f1",), ("f2", "f5"), ("Andrea",)),
        "male": (
            ("adam", "benjamin", "edward", "edward2", "Reed"),
            ("quincy", "rob", "robert"),
            ("Michael", "marcelo"),
            ("m8",),
            ("antonio",),
            ("sandro",),
        ),
    },
}
"""Split -> sex -> families of variants."""

SPOKEN = tuple(accent for accent in ACCENTS if accent != "en-us-nyc")
"""Accents used; in the other one, people's "on" and "off" are nearer to its "go"."""

_PITCHES, _RATES = (26, 38, 50, 62, 74), (140, 160, 180, 200)


@dataclass(frozen=True)
class Style:
    """An acted style, as changes to a voice.

    Attributes:
        pitch: added to the voice's pitch, in eSpeak's units.
        rate: factor on the voice's words per minute.
        pitch_range: liveliness of the melody, 0 to 100.
        level_db: added to the loudness.
        whispered: without voicing.
    """

    pitch: int = 0
    rate: float = 1.0
    pitch_range: int = 50
    level_db: float = 0.0
    whispered: bool = False


STYLES = {
    "neutral": Style(),
    "calm": Style(pitch=-8, rate=0.84, pitch_range=18, level_db=-3),
    "excited": Style(pitch=14, rate=1.18, pitch_range=95, level_db=4),
    "whisper": Style(rate=0.92, level_db=-8, whispered=True),
}
"""Acted styles by name."""


@dataclass(frozen=True)
class Person:
    """One speaker: a variant with an accent, a pitch and a rate of its own."""

    split: str
    voice: Voice

    @property
    def name(self) -> str:
        """Speaker id; letters, digits, ``+``, ``-`` and ``_``."""
        name = self.voice.name.replace(" ", "_")
        return f"{name}-p{self.voice.pitch}-r{self.voice.rate}"


def people(count: int, seed: int, accents: tuple[str, ...] = SPOKEN) -> list[Person]:
    """``count`` speakers, 60 % for training, 10 % for validation, 30 % for the test.

    In every split half are female, families and accents take turns, and no two speakers share
    variant, accent and pitch. A longer list begins, split by split, with the shorter one.

    Raises:
        ConfigError: fewer than 5, or more than there are voices; an unknown accent.
    """
    unknown = [accent for accent in accents if accent not in ACCENTS]
    if unknown or not accents or len(set(accents)) < len(accents):
        raise ConfigError(f"accents must be different ones of {', '.join(ACCENTS)}, got {accents}")
    if count < 5:
        raise ConfigError(f"a synthetic corpus needs at least 5 voices, got {count}")
    validation, test = max(1, round(count * FRACTIONS[1])), round(count * FRACTIONS[2])
    sizes = dict(zip(SPLITS, (count - validation - test, validation, test), strict=True))
    out: list[Person] = []
    for split in SPLITS:
        sexes = [_voices(f, seed, accents, sizes[split]) for f in FAMILIES[split].values()]
        # the longer list is cut: the halves stay equal
        voices = list(chain.from_iterable(zip(*sexes, strict=False)))
        if len(voices) < sizes[split]:
            raise ConfigError(
                f"{count} voices need {sizes[split]} in split {split!r}, and there are "
                f"{len(voices)} with {len(accents)} accents"
            )
        out += [Person(split, voice) for voice in voices[: sizes[split]]]
    return out


def _voices(
    families: tuple[tuple[str, ...], ...], seed: int, accents: tuple[str, ...], limit: int
) -> list[Voice]:
    """Voices of the families of one sex; families, accents, variants and pitches take turns."""
    left: list[dict[Voice, float]] = []
    for family in families:
        chances: dict[Voice, float] = {}
        for variant, accent, pitch in product(family, accents, _PITCHES):
            rate = _RATES[int(fraction(seed, "rate", variant, accent, pitch) * len(_RATES))]
            voice = Voice(accent, variant, pitch, rate)
            chances[voice] = fraction(seed, "voice", variant, accent, pitch)
        left.append(chances)
    left.sort(key=lambda chances: min(chances.values()))
    used: Counter[str | int] = Counter()
    out: list[Voice] = []
    while any(left) and len(out) < limit:
        for chances in filter(None, left):
            voice = min(
                chances,
                key=lambda v: (used[v.accent], used[v.variant], used[v.pitch], chances[v]),
            )
            del chances[voice]
            used.update((voice.accent, voice.variant, voice.pitch))
            out.append(voice)
    return out
