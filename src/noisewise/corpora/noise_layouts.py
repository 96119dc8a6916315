"""How the public noise corpora lie on disk; `noise_folders.open_noise` opens them by a spec.

Every loader takes the folder, and options as text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from noisewise.corpora.esc import esc, is_esc
from noisewise.corpora.listing import first_audio, subfolders
from noisewise.corpora.noise_files import (
    Items,
    audio_files,
    chosen,
    count,
    grouped,
    matching,
    pick,
    window_spec,
)
from noisewise.corpora.room_layouts import RIRS, is_rirs, listed_files
from noisewise.errors import CorpusError
from noisewise.noise.sources import Babble, NoiseSource, Recordings

TYPES = ("noise", "music", "speech")
SPLITS = ("train", "test")
_MUSAN = "MUSAN: noise/, music/ and speech/"
_SNSD = "MS-SNSD: noise_train/ and noise_test/"
_NONSPEECH = "Nonspeech100: n1.wav to n100.wav"


def musan(
    root: Path,
    name: str,
    types: str = "noise+music+speech",
    speakers: str = "5",
    split: str = "",
    windows: str = "",
    match: str = "*",
) -> list[NoiseSource]:
    """MUSAN (Snyder and others, arXiv 1510.08484): a source a type, speech as babble.

    ``split`` is train (files of an even number) or test (odd), else all; ``windows`` "5/3" draws
    from windows of 5 s every 3 s of noise and music.
    """
    splits = pick(split, SPLITS, "split") if split else []
    cut = window_spec(windows, "windows")
    out: list[NoiseSource] = []
    for type_ in pick(types, TYPES, "types"):
        paths = matching(root, audio_files(root / type_, _MUSAN), match)
        if splits:
            paths = [path for path in paths if _musan_split(path) in splits]
        label = f"{name}-{split}-{type_}" if split else f"{name}-{type_}"
        if type_ == "speech":
            voices = {path.stem: [path] for path in paths}
            out.append(Babble(label, voices, speakers=count(speakers, "speakers")))
        else:
            out.append(Recordings(label, paths, cut))
    return out


def ms_snsd(
    root: Path,
    name: str,
    split: str = "",
    by: str = "all",
    classes: str = "",
    match: str = "*",
) -> list[NoiseSource]:
    """MS-SNSD (Reddy and others 2019): ``split`` train or test, else both; ``Type_<n>.wav``."""
    splits = pick(split, SPLITS, "split") if split else list(SPLITS)
    paths = [path for part in splits for path in audio_files(root / f"noise_{part}", _SNSD)]
    items = [(re.sub(r"_\d+$", "", path.stem), path) for path in paths]
    label = f"{name}-{split}" if split else name
    return grouped(root, items, by, classes, match, label)


def nonspeech100(
    root: Path,
    name: str,
    match: str = "*",
) -> list[NoiseSource]:
    """100 Nonspeech Sounds (Hu): n1.wav to n100.wav, all of them."""
    folder = _nonspeech_folder(root)
    paths = {path.stem.lower(): path for path in audio_files(folder, _NONSPEECH)}
    missing = [f"n{i}" for i in range(1, 101) if f"n{i}" not in paths]
    if missing:
        raise CorpusError(f"{folder}: {', '.join(missing)} absent; expected {_NONSPEECH}")
    wanted = [paths[f"n{i}"] for i in range(1, 101)]
    return [Recordings(name, matching(root, wanted, match))]


def rirs_noises(
    root: Path,
    name: str,
    match: str = "*",
) -> list[NoiseSource]:
    """Point-source and isotropic noises of RIRS_NOISES (Ko and others 2017)."""
    out: list[NoiseSource] = []
    points, real = root / "pointsource_noises", root / "real_rirs_isotropic_noises"
    if points.is_dir():
        out.append(
            Recordings(f"{name}-pointsource", matching(root, audio_files(points, RIRS), match))
        )
    if real.is_dir():
        paths = matching(root, listed_files(real, "noise_list"), match)
        out.append(Recordings(f"{name}-isotropic", paths))
    if not out:
        raise CorpusError(f"{root}: no noises, only rooms; expected {RIRS}")
    return out


def plain(
    root: Path,
    name: str,
    by: str = "all",
    classes: str = "",
    match: str = "*",
    babble: str = "",
) -> list[NoiseSource]:
    """Any folder of recordings; a class, or a voice of babble, is a folder in it."""
    items: Items = []
    for path in audio_files(root, "noise recordings"):
        parts = path.relative_to(root).parts
        items.append((parts[0] if len(parts) > 1 else path.stem, path))
    if not babble:
        return grouped(root, items, by, classes, match, name)
    voices: dict[str, list[Path]] = defaultdict(list)
    for voice, path in chosen(root, items, classes, match):
        voices[voice].append(path)
    return [Babble(name, dict(voices), speakers=count(babble, "babble"))]


def _musan_split(path: Path) -> str:
    number = re.search(r"\d{4}$", path.stem)
    if not number:
        raise CorpusError(f"{path}: its name does not end in four digits, which split MUSAN")
    return SPLITS[int(number[0]) % 2]


def _nonspeech_folder(root: Path) -> Path:
    return root / "Nonspeech" if (root / "Nonspeech").is_dir() else root


def _is_musan(root: Path) -> bool:
    return len({"music", "speech", "noise"} & set(subfolders(root))) >= 2


def _is_snsd(root: Path) -> bool:
    return (root / "noise_train").is_dir() or (root / "noise_test").is_dir()


def _is_nonspeech(root: Path) -> bool:
    names = first_audio(_nonspeech_folder(root))
    return len(names) >= 10 and all(re.fullmatch(r"[nN]\d+\.\w+", name) for name in names)


NOISE: tuple[tuple[Callable[[Path], bool], Callable[..., list[NoiseSource]]], ...] = (
    (_is_musan, musan),
    (is_rirs, rirs_noises),
    (_is_snsd, ms_snsd),
    (is_esc, esc),
    (_is_nonspeech, nonspeech100),
    (lambda root: True, plain),
)
"""(whether a folder has this layout, its loader), the first that fits is taken."""
