"""Folders of noise recordings and room responses, opened from one short text each.

A spec is ``PATH[@key=value,...]``; several values are joined by "+", numbers also by "-":
``esc10@folds=1-3``, ``musan@types=noise+music``, ``rooms@match=office*``. The layout is found
by looking: MUSAN, ESC-10 and ESC-50, MS-SNSD, Nonspeech100, RIRS_NOISES, else a plain folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from noisewise.corpora.noise_files import count
from noisewise.corpora.noise_layouts import NOISE
from noisewise.corpora.registry import check_options
from noisewise.corpora.room_layouts import ROOMS
from noisewise.errors import ConfigError
from noisewise.noise.generate import GENERATORS
from noisewise.noise.sources import Babble, Generated, NoiseSource, Rooms

if TYPE_CHECKING:
    import datasets

Source = TypeVar("Source", NoiseSource, Rooms)

_SPEC = re.compile(r"(?P<target>.+?)(?:@(?P<options>\w+=[^@]*))?")


def open_noise(spec: str, speech: datasets.Dataset | None = None) -> list[NoiseSource]:
    """Noise sources that a spec names.

    Args:
        spec: a generated noise ("white", "pink", ...), ``babble[@speakers=n]`` out of
            ``speech``, or ``PATH[@key=value,...]``. Options of all folders: ``by=class`` for a
            source a class instead of one for all, ``classes=a+b``, ``match=GLOB`` on the path
            below the folder, ``name=NAME``. ESC: ``folds=1-3``, ``subset=esc10``. MUSAN:
            ``types=noise+music``, ``split=train|test``, ``windows=5/3``, ``speakers=n`` or
            ``speakers=3-6`` voices in its babble. MS-SNSD: ``split=train|test``. Plain:
            ``babble=n`` voices, a voice being a subfolder or file.
        speech: rows of a corpus, for babble.

    Raises:
        ConfigError: neither a generated noise nor a folder, or an option it does not have.
        CorpusError: the folder is incomplete.
    """
    target, options = parse_spec(spec)
    if target == "babble":
        check_options(_speech_babble, options, f"noise {target!r}")
        return [_speech_babble(speech, **options)]
    if target in GENERATORS:
        if options:
            raise ConfigError(f"noise {spec!r}: a generated noise has no options")
        return [Generated(target)]
    root = Path(target).expanduser()
    if not root.is_dir():
        raise ConfigError(
            f"noise {spec!r}: no such folder, nor is it one of babble, {', '.join(GENERATORS)}"
        )
    layout = next(layout for fits, layout in NOISE if fits(root))
    check_options(layout, options, f"noise folder {root}")
    options.setdefault("name", root.absolute().name)
    return layout(root, **options)


def by_name(sources: Sequence[Source]) -> dict[str, Source]:
    """Sources by their names.

    Raises:
        ConfigError: two of one name.
    """
    named = {source.name: source for source in sources}
    if len(named) < len(sources):
        names = [source.name for source in sources]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"two noises or rooms are called {twice!r}: rename one, PATH@name=NAME")
    return named


def open_rooms(spec: str) -> list[Rooms]:
    """Sets of room impulse responses that a spec names.

    Args:
        spec: ``PATH[@key=value,...]``. RIRS_NOISES gives the sets smallroom, mediumroom,
            largeroom and real; ``rooms=real+smallroom`` picks some. A plain folder is one
            set. Both take ``match=GLOB`` on the path below the folder and ``name=NAME``.

    Raises:
        ConfigError: no such folder, or an option it does not have.
        CorpusError: the folder is incomplete.
    """
    target, options = parse_spec(spec)
    root = Path(target).expanduser()
    if not root.is_dir():
        raise ConfigError(f"rooms {spec!r}: no such folder")
    layout = next(layout for fits, layout in ROOMS if fits(root))
    check_options(layout, options, f"room folder {root}")
    options.setdefault("name", root.absolute().name)
    return layout(root, **options)


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split a spec into its target and options.

    >>> parse_spec("data/esc10@folds=1-3,by=class")
    ('data/esc10', {'folds': '1-3', 'by': 'class'})

    Raises:
        ConfigError: an option without "=", or given twice.
    """
    found = _SPEC.fullmatch(spec)
    if not found:
        raise ConfigError(f"spec {spec!r} is not PATH[@key=value,...]")
    options: dict[str, str] = {}
    for item in filter(None, (found["options"] or "").split(",")):
        key, equals, value = item.partition("=")
        if not (key and equals and value) or key in options:
            raise ConfigError(f"spec {spec!r}: {item!r} is not one key=value, or comes twice")
        options[key] = value
    return found["target"], options


def _speech_babble(
    speech: datasets.Dataset | None, speakers: str = "6", name: str = "babble"
) -> NoiseSource:
    if speech is None:
        raise ConfigError("babble is made of a corpus of speech, and none is given")
    voices: dict[str, dict[str, None]] = {}
    for speaker, value in zip(speech["speaker"][:], speech["audio"][:], strict=True):
        if speaker is not None and value["path"] is not None:
            voices.setdefault(speaker, {})[value["path"]] = None
    if not voices:
        raise ConfigError("babble needs a corpus with speakers and audio files, this one has none")
    paths = {speaker: list(map(Path, files)) for speaker, files in voices.items()}
    return Babble(name, paths, speakers=count(speakers, "speakers"))
