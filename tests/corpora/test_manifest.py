from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import make_rows
from noisewise.corpora.manifest import write_manifest
from noisewise.errors import ConfigError, CorpusError


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for name in "abc":
        audio.write(tmp_path / "clips" / f"{name}.wav", np.zeros(8000, np.float32))
    return tmp_path


def write(path: Path, *entries: object) -> Path:
    path.write_text("\n".join(e if isinstance(e, str) else json.dumps(e) for e in entries))
    return path


def test_the_keys_of_nemo_and_its_relatives(clips: Path) -> None:
    path = write(
        clips / "all.json",
        {"audio_filepath": "clips/a.wav", "duration": 0.5, "label": "yes", "speaker": 7},
        "",
        {"audio_filename": str(clips / "clips/b.wav"), "command": "no", "text": "no way"},
        {"audio_filepath": "clips/c.wav", "offset": 0.1, "duration": 0.2, "target": 3, "x": [1]},
    )
    corpus = open_corpus(path)
    assert corpus.name == "manifest"
    assert corpus.labels == {"keyword": ["3", "no", "yes"], "text": ["no way"]}
    first, second, third = corpus.rows
    assert first["id"] == "clips/a.wav"
    assert first["audio"]["path"] == str(clips / "clips" / "a.wav")
    assert (first["duration"], first["speaker"], first["text"]) == (0.5, "7", None)
    assert (second["duration"], second["offset"], second["text"]) == (None, 0.0, "no way")
    assert (third["offset"], third["duration"], third["keyword"]) == (0.1, 0.2, "3")


def test_what_is_written_is_read(clips: Path) -> None:
    rows = make_rows(
        [
            {
                "id": f"{name}{i}",
                "audio": str(clips / "clips" / f"{name}.wav"),
                "offset": i * 0.1,
                "duration": 0.1,
                "speaker": speaker,
                "split": split,
                "keyword": f"wörd {name}",
                "word": None if i else 'q"',
            }
            for name, speaker, split in (("a", "s1", "train"), ("b", None, "test"))
            for i in range(3)
        ],
        ["keyword", "word"],
    )
    write_manifest(rows, clips / "out.json")
    line = json.loads((clips / "out.json").read_text().splitlines()[0])
    assert line["audio_filepath"] == "clips/a.wav"
    assert line["label"] == "wörd a"
    again = open_corpus(clips / "out.json").rows
    assert again.column_names == rows.column_names
    assert again[:] == rows[:]
    write_manifest(again, clips / "two.json")
    assert (clips / "two.json").read_text() == (clips / "out.json").read_text()


def test_a_whole_file_gets_its_duration(clips: Path) -> None:
    path = str(clips / "clips" / "a.wav")
    write_manifest(
        make_rows([{"id": "a", "audio": path, "emotion": "sad"}], ["emotion"]),
        clips / "sub" / "out.json",
        task="emotion",
    )
    line = json.loads((clips / "sub" / "out.json").read_text())
    assert line["duration"] == 0.5
    assert line["audio_filepath"] == path
    corpus = open_corpus(clips / "sub" / "out.json", task="emotion")
    assert (corpus.task, corpus.rows[0]["emotion"]) == ("emotion", "sad")


def test_what_cannot_be_written(clips: Path) -> None:
    with pytest.raises(ConfigError, match=r"audio in memory"):
        write_manifest(make_rows([{"id": "a", "audio": b"x"}], ["keyword"]), clips / "out.json")
    with pytest.raises(ConfigError, match=r"no label column 'keyword'"):
        write_manifest(make_rows([{"id": "a", "audio": "x"}], ["intent"]), clips / "out.json")
    assert not (clips / "out.json").exists()


def test_parts_of_one_recording_get_ids_of_their_own(clips: Path) -> None:
    entry = {"audio_filepath": "clips/a.wav", "duration": 0.1, "label": "x"}
    path = write(clips / "m.json", entry, {**entry, "offset": 0.25}, {**entry, "id": "own"})
    ids = open_corpus(path).rows["id"][:]
    assert ids == ["clips/a.wav@0.000000", "clips/a.wav@0.250000", "own"]
    with pytest.raises(CorpusError, match=r"two rows have the id"):
        open_corpus(write(clips / "m.json", entry, entry))


def test_a_folder_of_splits(clips: Path) -> None:
    for name, clip in (("train_manifest.json", "a"), ("dev.jsonl", "b"), ("test.json", "c")):
        write(clips / name, {"audio_filepath": f"clips/{clip}.wav", "label": "x"})
    write(clips / "settings.json", {"unrelated": 1})
    corpus = open_corpus(clips)
    found = dict(zip(corpus.rows["id"][:], corpus.rows["split"][:], strict=True))
    assert found == {
        "clips/a.wav": "train",
        "clips/b.wav": "validation",
        "clips/c.wav": "test",
    }


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ('{"audio_filepath": "clips/a.wav", "dura', "not JSON"),
        ("[1, 2]", "not an object"),
        ({"label": "x"}, "no audio_filepath or audio_filename"),
        ({"audio_filepath": 3, "label": "x"}, "no audio_filepath"),
        ({"audio_filepath": "clips/a.wav", "duration": "long"}, "duration is 'long'"),
        ({"audio_filepath": "clips/a.wav", "duration": 0}, "duration is 0"),
        ({"audio_filepath": "clips/a.wav", "offset": -1}, "offset is -1"),
        ({"audio_filepath": "clips/a.wav", "duration": True}, "duration is True"),
        ({"audio_filepath": "clips/a.wav", "offset": float("nan")}, "offset is nan"),
        ({"audio_filepath": "clips/a.wav", "split": "mine"}, "split 'mine'"),
    ],
)
def test_broken_lines_are_named(clips: Path, entry: object, rule: str) -> None:
    path = write(clips / "m.json", {"audio_filepath": "clips/b.wav", "label": "x"}, entry)
    with pytest.raises(CorpusError, match=f"m.json:2: .*{rule}"):
        open_corpus(path, "manifest")


def test_empty_missing_and_unlabelled_manifests(clips: Path) -> None:
    with pytest.raises(CorpusError, match=r"m.json: empty"):
        open_corpus(write(clips / "m.json", ""), "manifest")
    with pytest.raises(CorpusError, match=r"no line has a label"):
        open_corpus(write(clips / "m.json", {"audio_filepath": "clips/a.wav"}))
    with pytest.raises(CorpusError, match=r"no manifest here"):
        open_corpus(clips / "gone", "manifest")
    (clips / "m.json").write_bytes(b"\xff\xfe\x00broken")
    with pytest.raises(CorpusError, match=r"not readable as UTF-8"):
        open_corpus(clips / "m.json", "manifest")
    with pytest.raises(ConfigError, match=r"task 'id'"):
        open_corpus(clips / "m.json", "manifest", task="id")


def test_absent_audio_is_skipped_until_it_is_too_much(clips: Path) -> None:
    good = [{"audio_filepath": f"clips/{n}.wav", "label": "x", "id": f"{n}"} for n in "abc"]
    good += [{**good[0], "id": str(i)} for i in range(10)]
    path = write(clips / "m.json", *good, {"audio_filepath": "clips/gone.wav", "label": "x"})
    corpus = open_corpus(path)
    assert len(corpus.rows) == 13
    assert corpus.skipped == (f"{path}:14: no such file {clips / 'clips' / 'gone.wav'}",)
    gone = {"audio_filepath": "clips/gone.wav", "label": "x"}
    with pytest.raises(CorpusError, match=r"1 of 4 files are unusable"):
        open_corpus(write(clips / "m.json", *good[:3], gone))
