"""Error rates of transcripts: of the usable clips that have a text, in every condition."""

import json

import numpy as np
import pytest

import noisewise
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.embedding import Embedded
from noisewise.evaluation.grid import evaluate, open_test_set
from noisewise.evaluation.report import write_report
from noisewise.evaluation.results import Row, read_results, write_results
from noisewise.evaluation.transcripts import count_edits, references, with_words
from noisewise.metrics.words import character_edits, error_rate, word_edits
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import Generated
from noisewise.types import Waves


def heard(texts, rows):
    vectors = np.zeros((len(rows), 2), np.float32)
    return Embedded(vectors, np.array(rows, np.int64), [], texts)


@pytest.fixture(scope="module")
def bundle(spoken_run):
    return noisewise.load(spoken_run)


@pytest.mark.parametrize("beam", [0, 3])
def test_every_condition_has_its_error_rates(bundle, spoken_corpus, tmp_path, beam):
    test = open_test_set(bundle, spoken_corpus)
    results = evaluate(bundle, test, noise=["pink"], snr=[0], beam=beam, seed=3)
    spoken = [row for row in test.rows if row["text"]]
    assert results.data.transcripts == len(spoken) < len(test.rows)
    corruptor = Corruptor({"pink": Generated("pink")}, {}, 3)
    said = [row["text"].strip(" .").lower() for row in spoken]
    for row in results.rows:
        clips = [read_row(own) for own in spoken]
        if not row.condition.clean:
            clips = [
                corruptor(clip, row.condition, own["id"], own["speaker"])
                for clip, own in zip(clips, spoken, strict=True)
            ]
        texts = [bundle.model.hear(Waves.collate([clip]), beam)[1][0] for clip in clips]
        for name, count in (("wer", word_edits), ("cer", character_edits)):
            assert row.metrics[name] == pytest.approx(error_rate(*count(said, texts)))
            low, high = row.intervals[name]
            assert low <= row.metrics[name] <= high
        edits, lengths = word_edits(said, texts)
        places = [number for number, own in enumerate(test.rows) if own["text"]]
        answers = results.answers
        assert [answers.edits["wer"][row.condition.name][n] for n in places] == edits.tolist()
        assert [answers.lengths["wer"][n] for n in places] == lengths.tolist()
        assert answers.edits["wer"][row.condition.name].count(-1) == len(test.rows) - len(spoken)
    assert results.metrics[0] == "accuracy"
    assert results.clean.metrics["cer"] < 0.4 < results.rows[1].metrics["cer"]
    write_report(tmp_path / "report.html", [results])
    page = (tmp_path / "report.html").read_text()
    assert "Word error rate" in page
    assert "Character error rate" in page


def test_results_keep_them(bundle, spoken_corpus, tmp_path):
    results = evaluate(bundle, open_test_set(bundle, spoken_corpus))
    write_results(tmp_path / "results.json", results)
    assert json.loads((tmp_path / "results.json").read_text())["data"]["transcripts"] > 0
    again = read_results(tmp_path / "results.json")
    assert again.clean.metrics["wer"] == pytest.approx(results.clean.metrics["wer"], abs=1e-6)


def test_without_texts_or_a_transcriber_nothing_is_measured(
    bundle, toy_run, toy_corpus, spoken_corpus
):
    silent = evaluate(bundle, open_test_set(bundle, toy_corpus))
    plain = noisewise.load(toy_run)
    deaf = evaluate(plain, open_test_set(plain, spoken_corpus), beam=5)
    for results in (silent, deaf):
        assert not {"wer", "cer"} & set(results.metrics)
        assert results.data.transcripts == 0
        assert results.answers.lengths == results.answers.edits == {}
    rows = open_corpus(spoken_corpus).rows
    assert references(plain.model, rows) == [""] * len(rows)


def test_only_usable_clips_with_a_text_count():
    said = ["turn it on", "", "stop", "go"]
    counted = count_edits(heard(["turn on", "nothing was said", "stop it now"], [0, 1, 2]), said)
    assert {name: [column.tolist() for column in own] for name, own in counted.items()} == {
        "wer": [[1, -1, 2, -1], [3, 0, 1, 1]],
        "cer": [[3, -1, 7, -1], [10, 0, 4, 2]],
    }
    row = with_words(Row(n=3, metrics={"accuracy": 0.5}), counted, seed=0, confidence=0.9)
    assert list(row.metrics) == ["accuracy", "wer", "cer"]
    assert row.metrics["wer"] == pytest.approx((1 + 2) / (3 + 1))
    assert row.metrics["cer"] == pytest.approx((3 + 7) / (10 + 4))
    assert row.n == 3
    low, high = row.intervals["wer"]
    assert (low, high) == (pytest.approx(1 / 3), pytest.approx(2))
    same = Row(n=1)
    for none in (heard(["a"], [1]), heard(None, [0])):
        assert with_words(same, count_edits(none, said), seed=0, confidence=0.9) == same
    assert count_edits(heard(["a"], [0]), ["", ""]) == {}
