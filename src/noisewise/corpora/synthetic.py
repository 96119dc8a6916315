"""The embedded corpus: keywords or short commands spoken by eSpeak NG in many voices.

It is made on the first call, in seconds to minutes, and kept. Its official split is by
voice, and no family of like-sounding voices is on two sides (see `synthetic_voices`). Every
clip is a function of the options alone, so any machine with the same engine makes the same
corpus with any number of workers.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import soundfile

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.cache import cache_folder, make_folder, read_index
from noisewise.corpora.espeak import Speaker, engine_version
from noisewise.corpora.silence_unknown import SILENCE, UNKNOWN
from noisewise.corpora.speech_commands import COMMANDS
from noisewise.corpora.synthetic_plan import Clip, check_words, command_clips, keyword_clips
from noisewise.corpora.synthetic_render import render
from noisewise.corpora.synthetic_voices import SPOKEN, STYLES, people
from noisewise.errors import ConfigError
from noisewise.types import SAMPLE_RATE

TASKS = {
    "keywords": ("keyword", "text", "style"),
    "commands": ("intent", "action", "object", "location", "text", "style"),
}
"""Label columns of each kind; the first is the default task."""

SIZES = {
    "keywords": {"tiny": (10, 1), "small": (60, 3), "medium": (150, 6), "large": (400, 10)},
    "commands": {"tiny": (10, 1), "small": (30, 2), "medium": (100, 3), "large": (400, 4)},
}
"""Kind -> size -> (voices, takes): each voice says each keyword or intent ``takes`` times."""

_FORMAT = 1  # part of every corpus's key: raise it when clips would come out different


def matches(root: Path) -> bool:
    """Whether ``root`` is a folder that `load` has filled."""
    return read_index(root) is not None


def load(
    root: Path | str | None = None,
    *,
    kind: str = "keywords",
    size: str = "small",
    voices: int | None = None,
    takes: int | None = None,
    words: Sequence[str] = COMMANDS,
    unknown: int = 1,
    silence: int = 1,
    accents: Sequence[str] = SPOKEN,
    styles: Sequence[str] | None = None,
    seed: int = 0,
    task: str | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Corpus:
    """Make the synthetic corpus, or open it where it was made before.

    Args:
        root: folder to keep it in; None for one in the cache (``$NOISEWISE_CACHE``, else
            the user's cache folder), named by a hash of all that the clips depend on.
        kind: "keywords": clips of one second with a word, ``_unknown_`` (another word) or
            ``_silence_`` (a still room, no speaker) somewhere in it, label column
            ``keyword``. "commands": 31 intents in several wordings, label columns
            ``intent``, ``action``, ``object`` and ``location``. Both have ``text``
            and ``style``.
        size: "tiny", "small", "medium" or "large": 120, 2,160, 10,800 or 48,000 keyword
            clips; 310, 1,860, 9,300 or 49,600 commands.
        voices: number of speakers in place of the size's.
        takes: how often each voice says each keyword or intent, in place of the size's.
        words: the keywords.
        unknown, silence: clips of these classes for every take of a voice; 0 for no such class.
        accents: eSpeak's names, see `espeak.ACCENTS`.
        styles: keys of `STYLES` that are acted, in equal shares; None for neutral, calm and
            excited keywords, and for whispered commands too.
        seed: another seed, other voices, words, positions and rooms. The families of voices
            stay on their sides of the split.
        task: main label column; None for ``keyword`` or ``intent``.
        workers: engine processes; None for one a CPU. Does not change a sample.
        progress: called with (clips done, clips in all) while the corpus is made; None for a
            bar where standard error is a terminal.

    Returns:
        The corpus, with the splits "train", "validation" and "test".

    Raises:
        ConfigError: eSpeak NG is not installed, or an option is unknown or out of range.
        CorpusError: ``root`` holds something else or cannot be written, or the engine failed.
    """
    if kind not in TASKS:
        raise ConfigError(f"synthetic corpus: kind must be one of {', '.join(TASKS)}, got {kind!r}")
    if task is not None and task not in TASKS[kind]:
        raise ConfigError(
            f"synthetic corpus: {kind} have the tasks {', '.join(TASKS[kind])}, not {task!r}"
        )
    if size not in SIZES[kind]:
        raise ConfigError(
            f"synthetic corpus: size must be one of {', '.join(SIZES[kind])}, got {size!r}"
        )
    voices = SIZES[kind][size][0] if voices is None else voices
    takes = SIZES[kind][size][1] if takes is None else takes
    if takes < 1 or unknown < 0 or silence < 0:
        raise ConfigError(
            f"synthetic corpus: takes must be at least 1, unknown and silence at least 0; "
            f"got {takes}, {unknown} and {silence}"
        )
    acted = tuple(styles or [s for s in STYLES if kind == "commands" or s != "whisper"])
    if set(acted) - set(STYLES):
        raise ConfigError(f"synthetic corpus: styles are {', '.join(STYLES)}, got {acted}")
    speakers = people(voices, seed, tuple(accents))
    if kind == "keywords":
        words = check_words(words)
        plan = list(keyword_clips(speakers, takes, words, unknown, silence, acted, seed))
    else:
        plan = list(command_clips(speakers, takes, acted, seed))
    key = _key(plan, seed)
    folder = cache_folder() / "synthetic" / key if root is None else Path(root).expanduser()
    make_folder(folder, key, lambda to: _render_all(to, plan, seed, workers, progress))
    rows = make_rows((_row(clip, folder) for clip in plan), TASKS[kind])
    labels = {name: sorted({dict(c.labels)[name] for c in plan} - {""}) for name in TASKS[kind]}
    if kind == "keywords":
        extra = [name for name, count in ((SILENCE, silence), (UNKNOWN, unknown)) if count]
        labels["keyword"] = [*words, *extra]
    return Corpus("synthetic", rows, task or TASKS[kind][0], labels)


def _key(plan: Sequence[Clip], seed: int) -> str:
    """Hash of everything that the samples depend on."""
    content = [_FORMAT, engine_version(), seed, [astuple(clip) for clip in plan]]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=12).hexdigest()


def _row(clip: Clip, folder: Path) -> dict[str, str | None]:
    labels = {name: value or None for name, value in clip.labels}
    path = str(folder / f"{clip.id}.flac")
    fixed = {"id": clip.id, "audio": path, "split": clip.split, "speaker": clip.speaker or None}
    return fixed | labels


def _render_all(
    folder: Path,
    plan: Sequence[Clip],
    seed: int,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write every clip of ``plan`` below ``folder``."""
    for parent in {(folder / clip.id).parent for clip in plan}:
        parent.mkdir(parents=True, exist_ok=True)
    with Speaker(workers) as speaker, _reporting(progress, len(plan)) as done:

        def write(clip: Clip) -> None:
            flac = io.BytesIO()
            samples = render(clip, seed, speaker)
            soundfile.write(flac, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            # not written by libsndfile, which does not always notice a full disk
            (folder / f"{clip.id}.flac").write_bytes(flac.getvalue())

        with ThreadPoolExecutor(speaker.workers) as pool:
            try:
                for number, _ in enumerate(pool.map(write, plan), 1):
                    done(number)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


@contextmanager
def _reporting(
    progress: Callable[[int, int], None] | None, total: int
) -> Iterator[Callable[[int], None]]:
    """What to call with the clips done: ``progress``, a bar on a terminal, or nothing."""
    if progress is not None:
        yield lambda number: progress(number, total)
    elif not sys.stderr.isatty():
        yield lambda number: None
    else:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("synthetic corpus", total=total)
            yield lambda number: bar.update(task, completed=number)
