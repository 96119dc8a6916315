"""The documentation site: complete, self-contained, and its pictures drawn by its own script."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from noisewise.components import COMPONENTS
from noisewise.corpora.registry import LAYOUTS
from noisewise.noise.codec import CODECS
from noisewise.noise.generate import GENERATORS
from noisewise.recipe import DecomposeRecipe, PretrainRecipe, Recipe, shipped

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
INCLUDED = {
    "results": "RESULTS.md",
    "bench": "bench.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose ``!relative`` is not plain YAML."""


Loader.add_constructor("!relative", lambda loader, node: node.value)


@pytest.fixture(scope="module")
def config():
    return yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)


def words_of(page):
    return (DOCS / f"{page}.md").read_text()


def test_every_page_is_in_the_navigation(config):
    listed = [file for entry in config["nav"] for file in entry.values()]
    assert sorted(listed) == sorted(path.name for path in DOCS.glob("*.md"))


def test_nothing_is_fetched(config):
    assert config["theme"]["font"] is False
    assert "extra_javascript" not in config
    assert all((DOCS / name).is_file() for name in config["extra_css"])
    assert not any("url(" in (DOCS / name).read_text() for name in config["extra_css"])


@pytest.mark.parametrize("page", INCLUDED)
def test_pages_from_the_root_are_included_whole(page):
    assert words_of(page) == f'--8<-- "{INCLUDED[page]}"\n'


def test_every_name_is_documented():
    recipes, noise, corpora = words_of("recipes"), words_of("noise"), words_of("corpora")
    assert all(f"| `{name}` |" in recipes for name in shipped())
    assert all(f"`{name}`" in noise and f"`{name}`" in corpora for name in GENERATORS)
    assert all(f"`{name}`" in noise for name in CODECS)
    assert all(f"| `{name}` |" in corpora for name in LAYOUTS)
    stages = ("enhancer", "upstream", "frame_enhancer", "trunk", "backend", "head", "transcriber")
    for kind in (*stages, "term", "optimizer"):
        assert all(f"`{name}" in recipes for name in COMPONENTS[kind])
    assert all(f"| `{name}` |" in words_of("pretraining") for name in COMPONENTS["teacher"])
    assert all(f"name: {name}" in recipes for name in COMPONENTS["batches"])


def test_every_key_of_a_recipe_is_documented():
    text = words_of("recipes")
    keys = set(Recipe.model_fields) - {"phases"}
    for name in keys:
        model = Recipe.model_fields[name].annotation
        fields = getattr(model, "model_fields", None)
        for key in [f"{name}.{field}" for field in fields] if fields else [name]:
            assert f"`{key}`" in text, key
    phase = Recipe.model_fields["phases"].annotation.__args__[0]
    assert all(f"`{key}`" in text for key in set(phase.model_fields) - {"name"})


@pytest.mark.parametrize(
    ("recipe", "page"), [(PretrainRecipe, "pretraining"), (DecomposeRecipe, "emotion")]
)
def test_every_key_of_training_without_labels_is_documented(recipe, page):
    text = words_of("recipes") + words_of("pretraining") + words_of(page)
    for name in set(recipe.model_fields) - {"kind", "phases"}:
        model = recipe.model_fields[name].annotation
        inner = (model, *getattr(model, "__args__", ()))
        fields = [key for kind in inner for key in getattr(kind, "model_fields", ())]
        for key in fields or [name]:
            assert f"`{name}.{key}`" in text or f"`{key}`" in text, f"{name}: {key}"


def test_every_option_of_a_corpus_is_documented():
    import inspect
    from importlib import import_module

    text = words_of("corpora")
    for name, module in LAYOUTS.items():
        for option in list(inspect.signature(import_module(module).load).parameters)[1:]:
            if option != "progress":  # a function
                assert f"`{option}`" in text, f"{name}: {option}"


def test_every_key_of_results_is_documented():
    from dataclasses import fields

    from noisewise.evaluation import results

    text = words_of("evaluation")
    names = ("Results", "Row", "Data", "Rejection", "Skipped", "Hardest")
    for name in (*names, "CrossValidation", "Part", "Spread", "Difference"):
        kind = getattr(results, name)
        for field in fields(kind):
            if field.compare and field.name != "n":
                assert f"`{field.name}`" in text, f"{kind.__name__}.{field.name}"


def test_every_picture_is_small_and_shown():
    pictures = {path.name: path for path in (DOCS / "pictures").iterdir()}
    text = words_of("noise")
    assert set(re.findall(r"!\[[^]]+\]\(pictures/(\S+)\)", text)) == set(pictures)
    for path in pictures.values():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 150_000, path


def test_pictures_are_drawn_by_their_script(tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader")
    monkeypatch.setenv("NOISEWISE_CACHE", str(tmp_path / "cache"))
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path / "once")
    module.main(tmp_path / "twice")
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "once").iterdir()}
    assert drawn == {path.name: path.read_bytes() for path in (tmp_path / "twice").iterdir()}
    assert set(drawn) == {path.name for path in (DOCS / "pictures").iterdir()}
    assert f"python docs/{Path(module.__file__).name}" in words_of("noise")


def test_the_site_builds_and_fetches_nothing(tmp_path):
    pytest.importorskip("material", reason="the site needs the extra docs")
    missing = [name for name in INCLUDED.values() if not (ROOT / name).is_file()]
    if missing:
        pytest.skip(f"not written yet: {', '.join(missing)}")
    for name in ("mkdocs.yml", *INCLUDED.values()):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) == len(list(DOCS.glob("*.md"))) + 1  # and 404.html
    fetched = r'<(?:link|script|img|iframe|source)[^>]*(?:href|src)="?(?:https?:)?//([^"\s>]+)'
    for page in pages:
        found = re.findall(fetched, page.read_text())
        assert not found, f"{page}: {found}"
        if page.parent.name in INCLUDED:
            assert page.read_text().count("<h1") == 1
