"""What a run answered to each clip: `Answers`, in a JSON file that figures can be pooled from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from noisewise.errors import ConfigError
from noisewise.evaluation.schema import build, pretty, to_plain
from noisewise.files import write_atomic


@dataclass(frozen=True)
class Answers:
    """A run's answers to the clips of a test, condition by condition.

    Attributes:
        classes: labels that the run knows.
        ids: of the clips.
        speakers: of the clips, None where unknown.
        true: place of each clip's label in ``classes``, -1 for a label that the run lacks.
        said: condition name -> place of each clip's answer, -1 where the clip could not be used.
        settings: of the evaluation, in words of whoever made it.
        lengths: "wer" and "cer" -> words, or characters, that were said in each clip, 0 where that
            is not known; empty without a transcriber.
        edits: "wer" and "cer" -> condition name -> words, or characters, to be changed in what
            was heard in each clip, -1 where the clip could not be used or has no length.

    Raises:
        ConfigError: lists of different lengths, a place that is not in ``classes``, or edits that
            are not of the metrics, conditions and clips of the rest.
    """

    classes: list[str]
    ids: list[str]
    speakers: list[str | None]
    true: list[int]
    said: dict[str, list[int]]
    settings: str = ""
    lengths: dict[str, list[int]] = field(default_factory=dict)
    edits: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns: list[list[int]] = [self.true, *self.said.values()]
        counts = [*self.lengths.values()]
        counts += [column for own in self.edits.values() for column in own.values()]
        lengths = {len(self.ids), len(self.speakers), *map(len, columns), *map(len, counts)}
        if len(lengths) > 1:
            raise ConfigError(f"answers to {len(self.ids)} clips in lists of {sorted(lengths)}")
        size = len(self.classes)
        wrong = [place for column in columns for place in column if not -1 <= place < size]
        if wrong:
            raise ConfigError(f"answer {wrong[0]} is not a place in {size} classes")
        if self.edits.keys() != self.lengths.keys():
            raise ConfigError(f"edits of {[*self.edits]}, but lengths of {[*self.lengths]}")
        for metric, conditions in self.edits.items():
            if conditions.keys() != self.said.keys():
                raise ConfigError(
                    f"{metric} edits in {[*conditions]}, but answers in {[*self.said]}"
                )
            for column in conditions.values():
                for edits, length in zip(column, self.lengths[metric], strict=True):
                    if edits < -1 or length < 0 or (edits >= 0 and not length):
                        raise ConfigError(f"{metric}: {edits} edits where {length} were said")


def gained_and_lost(first: Answers, other: Answers, condition: str) -> tuple[int, int, int] | None:
    """Clips that only ``other`` answers right, that only ``first`` does, and all of both.

    Returns:
        None where they did not answer the same clips, or none of them in this condition.
    """
    if first.ids != other.ids or condition not in first.said or condition not in other.said:
        return None
    usable, right = [], []
    for answers in (first, other):
        true, said = np.array(answers.true), np.array(answers.said[condition])
        usable.append((true >= 0) & (said >= 0))
        right.append(true == said)
    both = usable[0] & usable[1]
    if not both.any():
        return None
    gained, lost = (right[1] & ~right[0])[both], (right[0] & ~right[1])[both]
    return int(gained.sum()), int(lost.sum()), int(both.sum())


def write_answers(path: Path, answers: Answers) -> None:
    """Write the answers, whole or not at all; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (pretty(to_plain(answers)) + "\n").encode("utf-8", "backslashreplace"))


def read_answers(path: Path) -> Answers:
    """Read what `write_answers` wrote.

    Raises:
        ConfigError: missing, not JSON, or a value that breaks the schema.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
        answers: Answers = build(Answers, value, "answers")
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise ConfigError(f"{path}: not readable as answers ({error})") from error
    return answers
