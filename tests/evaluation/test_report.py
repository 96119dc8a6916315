from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from noisewise.errors import ConfigError
from noisewise.evaluation.report import Extras, versions, write_report
from noisewise.evaluation.results import Enhanced, Hardest, Results, Row, Skipped
from noisewise.seeding import rng

VOID = {"meta", "img", "br", "hr", "link", "input"}
EVIL = "</title></style><script>alert(1)</script>\"'$x$\x00"


class Page(HTMLParser):
    """Checks that every element is closed; collects elements, ids and visible text."""

    def __init__(self, path) -> None:
        super().__init__()
        self.source = path.read_text("utf-8")
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(self.source)
        assert self.open == []
        ids = [a["id"] for _, a in self.found if "id" in a]
        assert len(ids) == len(set(ids))

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]

    @property
    def sections(self) -> list[str]:
        return [a["id"] for a in self.all("section")]


def full(results: Results, clip) -> Results:
    noisy = clip + rng(0, "noisy").normal(0, 0.05, len(clip)).astype(np.float32)
    hard = [
        Hardest("yes/1", "yes", "left", 0.9, "clean", clip),
        Hardest("no/2", "no", "go", 0.8, "babble 0 dB", noisy, clip),
        Hardest("up/3", "up", "go", math.nan, "clean"),
    ]
    return replace(results, hardest=hard)


@pytest.fixture(scope="module")
def extras() -> Extras:
    labels = [f"_{i % 4}" for i in range(24)]
    points = rng(0, "points").normal(size=(24, 6))
    return Extras("noisewise evaluate RUN", 7, {"kws-triplet": (points, labels)})


@pytest.fixture(scope="module")
def of_one_run(make_results, make_clip, extras, tmp_path_factory):
    """A report with every section that one run can have."""
    path = tmp_path_factory.mktemp("report") / "deep" / "a.html"
    write_report(path, [full(make_results(), make_clip("yes"))], extras=extras)
    return path


def test_report_of_one_run(of_one_run):
    page = Page(of_one_run)
    wanted = "in-noise numbers confusions rejection map hardest-clips left-out how-it-was-made"
    assert page.sections == wanted.split()
    assert [a["href"][1:] for a in page.all("a")][1:] == page.sections
    assert page.text.count("On clean speech the model is right") == 1
    for words in ("noisewise evaluate RUN", "empty file (0 bytes)", "wow", "371 clips", "numpy"):
        assert words in page.text
    assert len(page.all("audio")) == 2
    assert len(page.all("img")) == 2
    assert all(a["alt"] for a in page.all("img"))
    assert all(a["aria-label"] for a in page.all("audio"))
    assert all(a["role"] == "img" and a["aria-label"] for a in page.all("svg"))
    assert all(a["scope"] for a in page.all("th"))


def test_report_is_self_contained(of_one_run):
    page = Page(of_one_run)
    for _, attributes in page.found:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert re.match(r"data:|#|$", attributes.get(name) or "")
    assert not re.search(r"url\((?!#)|@import|https?://", page.source)
    assert not page.all("script")
    assert not page.all("link")
    policy = next(a for a in page.all("meta") if "http-equiv" in a)["content"]
    assert policy.startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in page.source


def test_same_input_same_bytes(tmp_path, of_one_run, make_results, make_clip, extras):
    write_report(tmp_path / "b", [full(make_results(), make_clip("yes"))], extras=extras)
    assert (tmp_path / "b").read_bytes() == of_one_run.read_bytes()


def test_report_of_several_runs(tmp_path, make_results, make_clip, extras):
    runs = [make_results(), full(make_results("noise-trained", drop=0.03), make_clip("no"))]
    write_report(tmp_path / "a.html", runs, extras=extras)
    page = Page(tmp_path / "a.html")
    assert "comparison" in page.sections
    assert "the differences are paired" in page.text
    assert "Against kws-triplet, noise-trained is" in page.text
    runs = [replace(run, confusion={}) for run in runs]
    other = replace(runs[1], data=replace(runs[1].data, clips=3))
    write_report(tmp_path / "b.html", [runs[0], other])
    assert "the differences are not paired" in Page(tmp_path / "b.html").text


def test_det_curves_are_clean_and_near_zero(tmp_path, make_results):
    results = replace(make_results(), confusion={})
    curve = results.det["clean"]
    det = {row.condition.name: curve for row in results.rows}
    write_report(tmp_path / "a.html", [replace(results, det=det)])
    text = Page(tmp_path / "a.html").text
    for name, shown in (("clean", 1), ("babble 0 dB", 1), ("rain 0 dB", 1), ("rain 20 dB", 0)):
        assert text.count(f"{name}, EER") == shown


def test_nothing_from_the_data_becomes_markup(tmp_path, make_results, make_clip):
    results = make_results(EVIL, noises=[EVIL, "b"], classes=[EVIL, "_"], rirs=[EVIL])
    row = replace(results.rows[0], metrics={EVIL: 1.0, "accuracy": 0.5})
    clip = Hardest(EVIL, EVIL, EVIL, 1.0, EVIL, make_clip("x"))
    results = replace(
        results,
        rows=[row, *results.rows[1:]],
        task=EVIL,
        recipe=EVIL,
        data=replace(results.data, corpus=EVIL),
        unknown_labels={EVIL: 1},
        skipped=[Skipped(EVIL, EVIL, EVIL)],
        hardest=[clip],
        det={EVIL: results.det["clean"]},
    )
    points = {EVIL: (np.eye(3), [EVIL, "a", "b"])}
    extras = Extras(EVIL, 0, points, noise=EVIL, versions={EVIL: EVIL, "noisewise": EVIL})
    write_report(tmp_path / "a.html", [results, make_results()], extras=extras, metric="accuracy")
    page = Page(tmp_path / "a.html")
    assert not page.all("script")
    assert len(page.all("title")) == 1
    assert "<script>alert(1)</script>" in page.text
    assert "\x00" not in page.source
    assert not any(name.startswith("on") for _, attributes in page.found for name in attributes)


def test_too_much_sound_is_left_out(tmp_path, make_results, make_clip):
    results = replace(full(make_results(), make_clip("yes")), confusion={})
    write_report(tmp_path / "a.html", [results], extras=Extras(audio_bytes=40_000))
    page = Page(tmp_path / "a.html")
    assert len(page.all("audio")) == 1
    assert page.text.count("Too much sound for one page") == 1


def with_enhancer(results: Results, clip) -> Results:
    """Two wrong answers, in noise and without, and a shown clip of each of these conditions."""
    noisy, own = clip + np.float32(0.05), 0.9 * clip
    hard = [
        Hardest("yes/1", "yes", "left", 0.9, "clean", clip, None, own),
        Hardest("no/2", "no", "go", 0.8, "babble 0 dB", noisy, clip, own),
    ]
    shown = [
        Enhanced("a/1", "babble 0 dB", clip, noisy, own),
        Enhanced("b/2", "clean", clip, clip, own),
    ]
    return replace(results, hardest=hard, enhanced=shown)


def test_enhanced_clips_are_shown_and_heard(tmp_path, make_results, make_clip):
    results = with_enhancer(make_results(), make_clip("yes"))
    write_report(tmp_path / "a.html", [results])
    page = Page(tmp_path / "a.html")
    assert page.sections[1:3] == ["numbers", "enhanced"]
    labels = [a["aria-label"] for a in page.all("audio")]
    assert labels == [
        "a/1, babble 0 dB, clean", "a/1, babble 0 dB, noisy", "a/1, babble 0 dB, enhanced",
        "b/2, clean, clean", "b/2, clean, enhanced",
        "yes, yes/1, clean, clean", "yes, yes/1, clean, enhanced",
        "no, no/2, babble 0 dB, after", "no, no/2, babble 0 dB, enhanced",
    ]  # fmt: skip
    assert len(page.all("img")) == 4
    assert len({a["src"] for a in page.all("audio")}) == 3  # clean, noisy and enhanced


def test_enhanced_and_hardest_clips_share_the_room_for_sound(tmp_path, make_results, make_clip):
    clip = make_clip("yes")
    plain = replace(make_results(noises=["babble"], snrs=[0]), confusion={}, det={}, rejection=None)
    results = with_enhancer(plain, clip)
    size = 44 + 2 * len(clip)
    for clips, heard in [(2, 2), (3, 3), (4, 3), (5, 5), (7, 7), (8, 7), (9, 9)]:
        write_report(tmp_path / "a.html", [results], extras=Extras(audio_bytes=clips * size))
        assert len(Page(tmp_path / "a.html").all("audio")) == heard


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [Row()],
        [Row(metrics={"accuracy": math.nan}, n=0)],
        [Row("rain", 0.0, metrics={"accuracy": 0.5})],
        [Row(metrics={"accuracy": 1.0}), Row("rain", 0.0, metrics={"accuracy": math.nan})],
        [Row(metrics={"pesq": 3.1}), Row("rain", 5.0, metrics={"pesq": 1.2})],
        [Row(metrics={"eer": 0.0}), Row(rir="hall", metrics={"eer": 0.1})],
    ],
)
def test_small_results(tmp_path, rows):
    results = Results("keyword", rows)
    write_report(tmp_path / "a.html", [results])
    write_report(tmp_path / "b.html", [results, results])
    assert Page(tmp_path / "a.html").sections[:2] == ["in-noise", "numbers"]
    assert "comparison" in Page(tmp_path / "b.html").sections


@pytest.mark.parametrize("classes", [1, 35])
def test_few_and_many_classes_and_noises(tmp_path, make_results, classes):
    names = [f"word{i}" for i in range(classes)]
    noises = ["hum"] if classes == 1 else [f"noise{i}" for i in range(10)]
    results = make_results(classes=names, noises=noises)
    write_report(tmp_path / "a.html", [results])
    page = Page(tmp_path / "a.html")
    assert all(name in page.text for name in (*names, *noises))
    assert len(page.source) < 3_000_000


def test_long_lists_are_cut_and_counted(tmp_path):
    skipped = [Skipped(f"clip{i}", "silent") for i in range(1000)]
    write_report(tmp_path / "a.html", [Results("t", [Row()], skipped=skipped)])
    text = Page(tmp_path / "a.html").text
    assert "Skipped: 1000" in text
    assert "800 more are in results.json" in text


def test_asked_for_what_is_not_there(tmp_path, make_results):
    with pytest.raises(ConfigError, match="at least one run"):
        write_report(tmp_path / "a.html", [])
    with pytest.raises(
        ConfigError, match=r"no metric 'eer' in the results; they have \['accuracy'"
    ):
        write_report(tmp_path / "a.html", [make_results()], metric="eer")
    assert not (tmp_path / "a.html").exists()


def test_leading_metric_can_be_chosen(tmp_path, make_results):
    write_report(tmp_path / "a.html", [make_results()], metric="macro_f1")
    assert "On clean speech the macro F1 of the model is" in Page(tmp_path / "a.html").text


def test_versions_name_what_counts():
    assert {"python", "noisewise", "torch", "numpy"} <= set(versions())
