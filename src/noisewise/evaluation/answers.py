"""What a run answered to each clip: `Answers`, in a JSON file that figures can be pooled from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from noisewise.errors import ConfigError
from noisewise.evaluation.schema import build, pretty, to_plain
from noisewise.files import write_atomic

OF_SLOT = "accuracy_"
"""What the accuracy of one slot is called, before the slot's name."""


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
        slots: names of the slots of a run that answers them, which has no classes.
        right: condition name -> for each clip a letter a slot, "1" where it was answered rightly
            and "0" elsewhere; "" where the clip could not be used.

    Raises:
        ConfigError: lists of different lengths, a place that is not in ``classes``, or edits or
            slots that are not of the metrics, conditions and clips of the rest.
    """

    classes: list[str]
    ids: list[str]
    speakers: list[str | None]
    true: list[int]
    said: dict[str, list[int]]
    settings: str = ""
    lengths: dict[str, list[int]] = field(default_factory=dict)
    edits: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    slots: list[str] = field(default_factory=list)
    right: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns: list[list[int]] = [self.true, *self.said.values(), *self.lengths.values()]
        columns += [column for own in self.edits.values() for column in own.values()]
        lengths = {len(self.ids), len(self.speakers), *map(len, columns)}
        lengths |= set(map(len, self.right.values()))
        if len(lengths) > 1:
            raise ConfigError(f"answers to {len(self.ids)} clips in lists of {sorted(lengths)}")
        size = len(self.classes)
        places = [self.true, *self.said.values()]
        wrong = [place for column in places for place in column if not -1 <= place < size]
        if wrong:
            raise ConfigError(f"answer {wrong[0]} is not a place in {size} classes")
        if self.right.keys() != (self.said.keys() if self.slots else set()):
            raise ConfigError(f"{self.slots} right in {[*self.right]}, answers in {[*self.said]}")
        for line in chain.from_iterable(self.right.values()):
            if line and (len(line) != len(self.slots) or set(line) - set("01")):
                raise ConfigError(f"{line!r} is not 0 or 1 for each of {len(self.slots)} slots")
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
