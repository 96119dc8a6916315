"""How room impulse responses lie on disk; `noise_folders.open_rooms` opens them by a spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from noisewise.corpora.listing import refuse_many
from noisewise.corpora.noise_files import audio_files, matching, pick
from noisewise.errors import CorpusError
from noisewise.noise.sources import Rooms

SIZES = ("smallroom", "mediumroom", "largeroom")
RIRS = "RIRS_NOISES: simulated_rirs/, real_rirs_isotropic_noises/ and pointsource_noises/"


def rirs_rooms(
    root: Path,
    name: str,
    rooms: str = "",
    match: str = "*",
) -> list[Rooms]:
    """Simulated rooms by size, and the real ones, of RIRS_NOISES (Ko and others 2017)."""
    simulated = next(
        (root / top for top in ("simulated_rirs", "simulated_rirs_16k") if (root / top).is_dir()),
        None,
    )
    folders = {size: simulated / size for size in SIZES} if simulated else {}
    if (root / "real_rirs_isotropic_noises").is_dir():
        folders["real"] = root / "real_rirs_isotropic_noises"
    if not folders:
        raise CorpusError(f"{root}: no rooms, only noises; expected {RIRS}")
    out = []
    for room in pick(rooms, list(folders), "rooms") if rooms else folders:
        folder = folders[room]
        paths = listed_files(folder, "rir_list") if room == "real" else audio_files(folder, RIRS)
        out.append(Rooms(f"{name}-{room}", matching(root, paths, match)))
    return out


def plain_rooms(
    root: Path,
    name: str,
    match: str = "*",
) -> list[Rooms]:
    """Any folder of room impulse responses."""
    paths = matching(root, audio_files(root, "room impulse responses"), match)
    return [Rooms(name, paths)]


def is_rirs(root: Path) -> bool:
    """Whether ``root`` has the folders of RIRS_NOISES."""
    tops = ("simulated_rirs", "simulated_rirs_16k", "real_rirs_isotropic_noises")
    return any((root / top).is_dir() for top in tops)


def listed_files(folder: Path, list_name: str) -> list[Path]:
    """Files in a ``rir_list`` or ``noise_list`` of RIRS_NOISES, whose lines end in a path.

    Raises:
        CorpusError: no such list, or too many of its files are absent.
    """
    table = folder / list_name
    if not table.is_file():
        raise CorpusError(f"{table}: no such file; expected {RIRS}")
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    listed = [line.split()[-1].rpartition("/")[2] for line in lines if line.strip()]
    there = {path.name: path for path in audio_files(folder, RIRS)}
    skipped = [f"{folder / name}: listed, but no such file" for name in listed if name not in there]
    refuse_many(folder, skipped, len(listed), RIRS)
    return [there[name] for name in listed if name in there]


ROOMS: tuple[tuple[Callable[[Path], bool], Callable[..., list[Rooms]]], ...] = (
    (is_rirs, rirs_rooms),
    (lambda root: True, plain_rooms),
)
"""(whether a folder has this layout, its loader), the first that fits is taken."""
