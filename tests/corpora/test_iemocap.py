from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import assert_disjoint
from noisewise.corpora.folds import fold_values, with_fold
from noisewise.errors import ConfigError, CorpusError
from noisewise.seeding import rng

CODES = ("neu", "hap", "exc", "ang", "sad", "fru", "xxx")


def build(root: Path) -> Path:
    for session in range(1, 6):
        folder = root / f"Session{session}"
        dialog = f"Ses{session:02d}F_impro01"
        lines, texts = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
        wavs = folder / "sentences" / "wav" / dialog
        wavs.mkdir(parents=True)
        for n, code in enumerate(CODES):
            for gender in "FM":
                name = f"{dialog}_{gender}{n:03d}"
                lines += [
                    f"[{n}.0 - {n}.5]\t{name}\t{code}\t[2.5, 2.5, 2.5]",
                    "C-E2:\tNeutral;\t()",
                ]
                texts.append(f"{name} [00{n}.0000-00{n}.5000]: Hello {n}.")
                (wavs / f"{name}.wav").write_bytes(b"x")
        for kind, content in (("EmoEvaluation", lines), ("transcriptions", texts)):
            (folder / "dialog" / kind).mkdir(parents=True)
            (folder / "dialog" / kind / f"{dialog}.txt").write_text("\n".join(content) + "\n")
    return root


def test_four_classes_by_session(tmp_path: Path) -> None:
    corpus = open_corpus(build(tmp_path))
    assert (corpus.name, corpus.task, len(corpus.rows)) == ("iemocap", "emotion", 5 * 2 * 5)
    assert corpus.labels["emotion"] == ["neutral", "happy", "angry", "sad"]
    parts = [corpus.split(name) for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [30, 10, 10]
    assert set(parts[2]["speaker"]) == {"Ses05F", "Ses05M"}
    assert set(parts[1]["speaker"]) == {"Ses04F", "Ses04M"}
    assert_disjoint(*parts)
    row = next(row for row in corpus.rows if row["id"] == "Ses02F_impro01_M002")
    assert (row["emotion"], row["text"], row["speaker"]) == ("happy", "Hello 2.", "Ses02M")


def test_options(tmp_path: Path) -> None:
    build(tmp_path)
    apart = open_corpus(tmp_path, merge_excited=False)
    assert len(apart.rows) == 5 * 2 * 4
    whole = open_corpus(tmp_path, classes="all", merge_excited=False, test=1)
    assert whole.labels["emotion"] == ["neutral", "happy", "angry", "sad", "excited", "frustrated"]
    assert set(whole.split("validation")["speaker"]) == {"Ses05F", "Ses05M"}
    for wrong in ({"test": 6}, {"test": 2, "validation": 2}, {"classes": "five"}):
        with pytest.raises(ConfigError):
            open_corpus(tmp_path, **wrong)


def test_half_downloaded(tmp_path: Path) -> None:
    build(tmp_path)
    wav = next((tmp_path / "Session3").rglob("*_F000.wav"))
    wav.unlink()
    (skipped,) = open_corpus(tmp_path).skipped
    assert str(wav) in skipped
    for path in (tmp_path / "Session3" / "dialog" / "EmoEvaluation").iterdir():
        path.unlink()
    with pytest.raises(CorpusError, match="Session3: no dialog/EmoEvaluation"):
        open_corpus(tmp_path)


DIALOGUES = {  # part of the dialogue's name: utterances of the man, of the woman (spec, 4.2)
    "Ses01F": (270, 237), "Ses01M": (287, 291), "Ses02F": (274, 231), "Ses02M": (268, 250),
    "Ses03F": (272, 264), "Ses03M": (357, 258), "Ses04F": (270, 283), "Ses04M": (233, 245),
    "Ses05F": (337, 307), "Ses05M": (314, 283),
}  # fmt: skip
TEST = dict(zip(DIALOGUES, (507, 578, 505, 518, 536, 615, 553, 478, 644, 597), strict=True))
TRAIN = dict(
    zip(DIALOGUES, (5024, 4953, 5026, 5013, 4995, 4916, 4978, 5053, 4887, 4934), strict=True)
)
SPEAKERS = dict(zip(DIALOGUES, (528, 557, 481, 542, 522, 629, 528, 503, 590, 651), strict=True))
CLASSES = {"neutral": 1708, "happy": 1636, "angry": 1103, "sad": 1084}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of the size and shape of the real one, its audio links to one short file.

    How many utterances of a class are whose is not published: classes are dealt out in turn.
    """
    root = tmp_path_factory.mktemp("iemocap")
    audio.write(root / "short.wav", np.full(160, 0.1, np.float32))
    counts = {"neu": 1708, "hap": 595, "exc": 1041, "ang": 1103, "sad": 1084}
    codes = [code for code, count in counts.items() for _ in range(count)]
    codes = [codes[n] for n in rng(0, "classes").permutation(len(codes))]
    for part, sizes in DIALOGUES.items():
        folder = root / f"Session{part[4]}"
        dialogue = f"{part}_impro01"
        lines, texts = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
        (folder / "sentences" / "wav" / dialogue).mkdir(parents=True)
        for gender, size in zip("MF", sizes, strict=True):
            for number in range(size + 3):  # three that no one takes
                name = f"{dialogue}_{gender}{number:03d}"
                code = codes.pop() if number < size else ("fru", "xxx", "oth")[number - size]
                lines.append(f"[{number}.0 - {number}.5]\t{name}\t{code}\t[2.5, 2.5, 2.5]")
                texts.append(f"{name} [000.0000-000.5000]: Well, number {number} I said.")
                wav = folder / "sentences" / "wav" / dialogue / f"{name}.wav"
                wav.symlink_to(root / "short.wav")
        for kind, content in (("EmoEvaluation", lines), ("transcriptions", texts)):
            (folder / "dialog" / kind).mkdir(parents=True, exist_ok=True)
            (folder / "dialog" / kind / f"{dialogue}.txt").write_text("\n".join(content) + "\n")
    assert not codes
    return root


def test_counts_of_the_whole_corpus(whole: Path) -> None:
    corpus = open_corpus(whole).checked()
    rows = corpus.rows
    assert len(rows) == sum(CLASSES.values()) == 5531
    assert Counter(rows["emotion"]) == CLASSES
    assert Counter(rows["speaker"]) == SPEAKERS
    assert Counter(rows["dialogue"]) == TEST
    assert Counter(rows["session"]) == {
        "Session1": 1085, "Session2": 1023, "Session3": 1151, "Session4": 1031, "Session5": 1241,
    }  # fmt: skip
    assert corpus.skipped == ()
    pairs = Counter(zip(rows["dialogue"], rows["speaker"], strict=True))
    for part, (men, women) in DIALOGUES.items():
        assert pairs[part, f"{part[:5]}M"] == men
        assert pairs[part, f"{part[:5]}F"] == women


@pytest.mark.parametrize(("by", "sizes"), [("session", None), ("speaker", SPEAKERS)])
def test_clean_folds_of_the_whole_corpus(
    whole: Path, by: str, sizes: dict[str, int] | None
) -> None:
    corpus = open_corpus(whole)
    names = list(fold_values(corpus, by))
    assert len(names) == (5 if by == "session" else 10)
    tested: list[str] = []
    for name in names:
        folded = with_fold(corpus, name, by, None, seed=0)
        parts = {part: folded.split(part) for part in ("train", "validation", "test")}
        assert_disjoint(*parts.values())
        assert sum(map(len, parts.values())) == 5531
        if sizes is not None:
            assert len(parts["test"]) == sizes[name]
        tested += parts["test"]["id"]
    assert sorted(tested) == sorted(corpus.rows["id"])


def test_the_published_folds_leak_under_a_name_that_says_so(whole: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"fold 'Ses01F' by 'dialogue': speaker 'Ses01[FM]' is on"
    ):
        with_fold(open_corpus(whole), "Ses01F", "dialogue", None, seed=0)
    corpus = open_corpus(whole, speakers="dialogue_leaky")
    assert list(fold_values(corpus, "speaker")) == [f"{part}_dialogues" for part in DIALOGUES]
    for part in DIALOGUES:
        folded = with_fold(corpus, f"{part}_dialogues", "speaker", None, seed=0)
        test = folded.split("test")
        rest = set(folded.split("train")["true_speaker"])
        rest |= set(folded.split("validation")["true_speaker"])
        assert len(test) == TEST[part]
        assert len(folded.rows) - len(test) == TRAIN[part]
        assert set(test["true_speaker"]) == {f"{part[:5]}F", f"{part[:5]}M"} <= rest


def test_tags_of_events_are_no_words(tmp_path: Path) -> None:
    build(tmp_path)
    path = tmp_path / "Session1" / "dialog" / "transcriptions" / "Ses01F_impro01.txt"
    path.write_text(
        "Ses01F_impro01_F000 [000.0-001.0]: [LAUGHTER]\n"
        "Ses01F_impro01_M000 [000.0-001.0]:  Oh [LAUGHTER]  no,{LG} not {NS} you. [BREATHING]\n"
        "Ses01F_impro01_F001 [000.0-001.0]: {BR}Hello\n"
    )
    corpus = open_corpus(tmp_path)
    texts = dict(zip(corpus.rows["id"], corpus.rows["text"], strict=True))
    assert texts["Ses01F_impro01_F000"] is None
    assert texts["Ses01F_impro01_M000"] == "Oh no, not you."
    assert texts["Ses01F_impro01_F001"] == "Hello"
    assert texts["Ses01F_impro01_M001"] is None
    with pytest.raises(ConfigError, match="known: utterance, dialogue_leaky"):
        open_corpus(tmp_path, speakers="dialogue")
