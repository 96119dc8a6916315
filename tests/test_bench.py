"""The runner of the benchmarks: what it lists, and the page that it writes."""

import ast
import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "bench"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_main", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_benchmark_is_listed(bench):
    assert set(bench.TITLES) == {path.stem for path in FOLDER.glob("bench_*.py")}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("bench_*.py")), ids=lambda path: path.stem)
def test_every_benchmark_has_run(path):
    functions = [
        node for node in ast.parse(path.read_text()).body if type(node).__name__ == "FunctionDef"
    ]
    run = next(node for node in functions if node.name == "run")
    assert not [*run.args.args, *run.args.kwonlyargs][len(run.args.defaults) :]


def test_page(bench):
    results = {
        "bench_triplet": [
            {"B": 256, "ours ms": 1.23456, "ratio": 57.123, "note": None},
            {"B": 1024, "ours ms": 12345.6, "peer ms": 0.5, "note": "a|b"},
        ],
        "bench_mixing": [],
    }
    page = bench.page(results)
    assert page.startswith("# Speed and memory\n")
    assert page.endswith("|\n")
    lines = page.splitlines()
    start = lines.index("## All-triplet loss, forward and backward")
    assert lines[start + 2 :] == [
        "| B | ours ms | ratio | note | peer ms |",
        "|---|---|---|---|---|",
        "| 256 | 1.23 | 57.1 |  |  |",
        "| 1024 | 12346 |  | a/b | 0.5 |",
    ]
    assert "Mixing" not in page
    assert "A ratio below 1 is a loss." in page
    assert bench.page(results) == page


def test_sections_keep_the_order_of_the_titles(bench):
    rows = [{"a": 1}]
    page = bench.page(dict.fromkeys(reversed(bench.TITLES), rows))
    places = [page.index(f"## {title}") for title in bench.TITLES.values()]
    assert places == sorted(places)
    assert all(line.startswith("Machine: ") for line in page.splitlines() if "torch" in line)


def test_stored_results_give_the_page_that_is_there(bench):
    results = json.loads((FOLDER / "results.json").read_text())
    there = (FOLDER.parent / "bench.md").read_text().splitlines()
    made = bench.page(results).splitlines()
    assert [line for line in made if line.startswith("|")] == [
        line for line in there if line.startswith("|")
    ]
