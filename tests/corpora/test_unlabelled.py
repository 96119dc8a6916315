"""Audio without labels: one file, a flat folder, or a whole tree."""

import shutil

import pytest

from noisewise.corpora import open_corpus
from noisewise.errors import ConfigError, CorpusError


def test_one_file(toy_corpus):
    file = next((toy_corpus / "hum").glob("voice3_*.wav"))
    corpus = open_corpus(file)
    assert (corpus.name, corpus.labels, len(corpus.rows)) == ("unlabelled", {}, 1)
    row = corpus.rows[0]
    assert (row["id"], row["speaker"]) == (file.stem, "voice3")
    assert row["audio"] == {"path": str(file), "bytes": None}


def test_a_flat_folder_is_recognised_where_no_labels_are_needed(toy_corpus, tmp_path):
    for file in (toy_corpus / "hum").iterdir():
        shutil.copy(file, tmp_path / file.name)
    (tmp_path / "empty.wav").touch()
    corpus = open_corpus(tmp_path, labels=False)
    assert (corpus.name, len(corpus.rows)) == ("unlabelled", 40)
    with pytest.raises(CorpusError, match="lie in the folder itself"):
        open_corpus(tmp_path)
    labelled = open_corpus(tmp_path, label_pattern="^(voice)")
    assert (labelled.name, len(labelled.rows)) == ("folder", 40)
    assert any("empty.wav: empty file" in line for line in corpus.skipped)


def test_a_tree_when_asked_for(toy_corpus):
    assert open_corpus(toy_corpus, labels=False).name != "unlabelled"
    corpus = open_corpus(toy_corpus, "unlabelled", speaker_pattern="^([a-z]+)/")
    assert len(corpus.rows) == 120
    assert set(corpus.rows["speaker"][:]) == {"fall", "hum", "rise"}


def test_two_files_of_one_stem_keep_their_endings(toy_corpus, tmp_path):
    file = next((toy_corpus / "hum").iterdir())
    shutil.copy(file, tmp_path / "a.wav")
    shutil.copy(file, tmp_path / "a.flac")
    assert sorted(open_corpus(tmp_path, labels=False).rows["id"][:]) == ["a.flac", "a.wav"]


def test_refusals(toy_corpus, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("x")
    with pytest.raises(CorpusError, match=r"notes.txt: not an audio file by its ending"):
        open_corpus(text, "unlabelled")
    with pytest.raises(CorpusError, match="fits no file"):
        open_corpus(toy_corpus, "unlabelled", speaker_pattern="(zebra)")
    with pytest.raises(ConfigError, match="no group"):
        open_corpus(toy_corpus, "unlabelled", speaker_pattern="zebra")
    with pytest.raises(CorpusError, match="no such folder"):
        open_corpus(tmp_path / "nowhere", "unlabelled")
