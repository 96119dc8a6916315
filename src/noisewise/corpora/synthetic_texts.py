"""What is said in the synthetic corpus: keywords, other words, and commands with an intent.

The commands follow the structure of Fluent Speech Commands (Lugosch et al., arXiv 1904.03670):
31 intents of an action, an object and a location, each worded in several ways. The wordings
are our own.
"""

from __future__ import annotations

from noisewise.corpora.speech_commands import DIGITS, OTHERS

OTHER_WORDS = (*DIGITS, *OTHERS)
"""What ``_unknown_`` is made of: the words of Speech Commands that are no commands."""

NONE = "none"
"""Value of a slot that an intent leaves empty."""

Slots = tuple[str, str, str]
"""Action, object, location."""

_ROOMS = (NONE, "kitchen", "bedroom", "bathroom")
_LANGUAGES = (NONE, "French", "Spanish", "Hindi", "Japanese")
_LIGHTS_ON = ("turn on the lights{in_}", "switch the lights on{in_}", "some light please{in_}")
_LIGHTS_OFF = ("turn off the lights{in_}", "switch the lights off{in_}", "make it dark{in_}")
_WARMER = ("turn up the heating{in_}", "make it warmer{in_}", "it is too cold{in_}")
_COOLER = ("turn down the heating{in_}", "make it cooler{in_}", "it is too hot{in_}")
_SINGLE: dict[Slots, tuple[str, ...]] = {
    ("activate", "lamp", NONE): ("turn on the lamp", "switch the lamp on", "lamp on please"),
    ("deactivate", "lamp", NONE): ("turn off the lamp", "switch the lamp off", "lamp off please"),
    ("activate", "music", NONE): ("play some music", "start the music", "put a song on"),
    ("deactivate", "music", NONE): ("stop the music", "no more music", "end this song now"),
    ("increase", "volume", NONE): ("make it louder", "turn the volume up", "I can't hear this"),
    ("decrease", "volume", NONE): ("make it quieter", "turn the volume down", "this is too loud"),
    ("bring", "newspaper", NONE): (
        "bring me the newspaper",
        "I want to read the newspaper",
        "fetch the paper",
    ),
    ("bring", "juice", NONE): (
        "bring me some juice",
        "I would like a glass of juice",
        "fetch the juice",
    ),
    ("bring", "socks", NONE): ("bring me my socks", "I need a pair of socks", "fetch some socks"),
    ("bring", "shoes", NONE): ("bring me my shoes", "I need my shoes now", "fetch the shoes"),
}


def command_texts() -> dict[Slots, tuple[str, ...]]:
    """The 31 intents, each with its wordings; no wording belongs to two intents.

    >>> texts = command_texts()
    >>> len(texts), texts["activate", "lights", "kitchen"][0]
    (31, 'turn on the lights in the kitchen')
    """
    out = dict(_SINGLE)
    for room in _ROOMS:
        where = "" if room == NONE else f" in the {room}"
        for action, thing, wordings in (
            ("activate", "lights", _LIGHTS_ON),
            ("deactivate", "lights", _LIGHTS_OFF),
            ("increase", "heat", _WARMER),
            ("decrease", "heat", _COOLER),
        ):
            out[action, thing, room] = tuple(w.format(in_=where) for w in wordings)
    for language in _LANGUAGES:
        to = "another language" if language == NONE else language
        wordings = (f"switch to {to}", f"speak {to} from now on", f"change the language to {to}")
        if language == NONE:
            wordings = ("change the language", "switch the language", "speak another language")
        out["change language", NONE if language == NONE else language, NONE] = wordings
    return out


def intent_name(slots: Slots) -> str:
    """One label for action, object and location, joined by a bar."""
    return "|".join(slots)
