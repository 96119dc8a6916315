"""Every command and every piece of Python in README and docs runs; every link leads somewhere.

Each page is worked through from top to bottom in a folder of its own, in which the names that the
page uses exist: CORPUS, NOISE, CLIP.wav, runs/mine ... Training is made short, and that is all.
"""

import json
import re
import shlex
import shutil
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from noisewise import audio
from noisewise.__main__ import COMMANDS, function_name, main
from noisewise.cli import make_parser, split_overrides
from noisewise.corpora import open_corpus
from noisewise.noise.generate import generate
from noisewise.recipe import Recipe, load_any_recipe
from noisewise.sampling.trials import make_trials
from noisewise.seeding import rng
from noisewise.trials import write_trials

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [
    path
    for path in (ROOT / name for name in ("RESULTS.md", "CONTRIBUTING.md", "CHANGELOG.md"))
    if path.is_file()
]
"""Pages whose commands are long, or are no commands of noisewise: read, but not run."""
QUICK = [
    "--model.upstream.encoder.maps", "4", "--data.fractions", "[0.6, 0.2, 0.2]",
    "--precision", "32-true", "--selection.clips", "10",
]  # fmt: skip
SHORT = [
    "--compare.learnt", "{}", "--probe.epochs", "1", "--seed", "0", "--noise",
    "--test.snr_db", "[]", "--compare.poolings", "{average: {name: average}, LP: {name: local}}",
]  # fmt: skip
for number in range(4):
    SHORT += [f"--tasks.{number}.task", "keyword", f"--tasks.{number}.data.options", "{}"]
    SHORT += [f"--tasks.{number}.data.root", "CORPUS"]
SMALL = [
    "--network.architecture.num_hidden_layers", "3", "--network.architecture.hidden_size", "32",
    "--network.architecture.intermediate_size", "32", "--codes.layers", "[2, 3]",
    "--codes.units", "20", "--held_out.clips", "4", "--precision", "32-true",
]  # fmt: skip
SMALL_SPLIT = [
    "--decomposer.channels", "[16, 16, 16]", "--decomposer.decoder", "8", "--held_out.clips", "4",
    "--f0.clips", "4", "--precision", "32-true",
]  # fmt: skip
NOT_RUN = ("pip", "pytest", "mkdocs", "ruff", "mypy", "python")


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(page, language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page):
    """(words of) every command of the page, in order; ``&&`` separates commands."""
    text = "".join(blocks(page, "bash")).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    found = []
    for line in lines:
        found += [shlex.split(part) for part in re.split(r"&&", line)]
    return found


def says_more(page):
    """Whether a page has commands, and not only some that the README has too."""
    first = [] if page == PAGES[0] else commands(PAGES[0])
    return any(words not in first for words in commands(page))


@pytest.fixture
def workplace(
    toy_corpus,
    emotion_corpus,
    clips,
    published_res,
    fairseq_checkpoint,
    hub_folder,
    tmp_path,
    monkeypatch,
):
    """A current folder with everything that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(toy_corpus, "CORPUS")
    shutil.copytree(emotion_corpus, "EMOTIONS")
    for folder, kind in (("NOISE", "pink"), ("OTHER_NOISE", "brown")):
        Path(folder, "street").mkdir(parents=True)
        for number in range(2):
            noise = generate(kind, 20000, rng(0, folder, number))
            audio.write(Path(folder, "street", f"{number}.wav"), noise)
    Path("ROOMS").mkdir()
    response = np.zeros(1600, np.float32)
    response[[50, 700]] = 0.9, 0.3
    audio.write(Path("ROOMS", "hall.wav"), response)
    for name, clip in zip(("CLIP.wav", "CLIP2.wav", "clip.wav"), clips, strict=False):
        shutil.copy(clip, name)
    corpus = open_corpus("CORPUS").rows
    write_trials("TRIALS", make_trials(corpus["id"][:], corpus["speaker"][:], 0))
    torch.save(published_res(), "res15_12.pt")
    fairseq_checkpoint(Path("wav2vec_large.pt"))
    hub_folder("wav2vec2-base").rename("MODEL")
    return tmp_path


@pytest.fixture(scope="session")
def clips(toy_corpus):
    return sorted(toy_corpus.rglob("*.wav"))


def extras():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def execute(words, speakers):
    """Run a noisewise command, training shortened (of ``speakers`` as these settings say)."""
    verb = words[1]
    if verb == "demo":  # tests/commands/test_demo.py runs it
        return 0
    words = list(words[1:])
    trains = verb in ("train", "cross-validate")
    recipe = load_any_recipe(words[1]) if trains else None
    if recipe is not None and not isinstance(recipe, Recipe):
        words += SHORT
    if isinstance(recipe, Recipe):
        words += shortened(recipe, speakers)
    if verb == "pretrain":
        named = words[1] if not words[1].startswith("--") else "noisewise-small"
        words += SMALL_SPLIT if named == "decompose" else SMALL
        for number in range(len(load_any_recipe(named).phases)):
            words += [f"--phases.{number}.steps", "2", f"--phases.{number}.validate_every", "2"]
            words += [f"--phases.{number}.batches.seconds", "4"]
    if trains or verb in ("pretrain", "evaluate", "enroll", "corrupt"):
        words += ["--workers", "0"]
    if verb == "evaluate":  # PESQ of many clips takes a while
        words += ["--quality", "1"]
    status = main(words)
    return 0 if verb == "verify" and status == 1 else status  # two speakers: an answer too


def shortened(recipe, speakers):
    """Words that make training with a recipe short."""
    words = QUICK
    if recipe.task == "speaker":
        wanted = ("model.", "augment.crop_s", "selection.", "phases.")
        settings = {key: value for key, value in speakers.items() if key.startswith(wanted)}
        words = [w for key, value in settings.items() for w in (f"--{key}", json.dumps(value))]
        words = [*words, "--precision", "32-true", "--data.fractions", "[0.6, 0.2, 0.2]"]
    elif recipe.model.upstream["name"] in ("selfsupervised", "decomposed"):
        words = [*QUICK[2:], "--augment.noise", "[pink]"]  # --noise, where it is given, wins
        words += ["--data.options.size", "tiny"] if recipe.data.options else []
        if recipe.model.enhancer is not None:
            words += ["--model.enhancer.levels", "4", "--model.enhancer.step", "4"]
        for number in range(len(recipe.phases)):
            words += [f"--phases.{number}.batches.batch_size", "4"]
    for number in range(len(recipe.phases)):
        steps = [f"--phases.{number}.steps", "2", f"--phases.{number}.validate_every", "2"]
        words = [*words, *steps]
    return words


def prepare_runs(page, toy_run):
    """Copy the toy run to every runs/NAME that a page uses before it makes it."""
    text = page.read_text()
    made = set()
    for words in commands(page):
        out = words[words.index("--out") + 1] if "--out" in words else None
        used = {w for w in words if w.startswith("runs/")} - {out} - made
        for name in used:
            shutil.copytree(toy_run, name, dirs_exist_ok=True)
        made |= {*used, *([out] if out else [])}
    for name in set(re.findall(r'load\("(runs/\w+)"\)', text)) - made:
        shutil.copytree(toy_run, name)


@pytest.mark.parametrize("page", [p for p in PAGES if says_more(p)], ids=name_of)
def test_commands_run(page, workplace, toy_run, speaker_settings, capsys):
    prepare_runs(page, toy_run)
    for words in commands(page):
        if words[0] in NOT_RUN:
            continue
        assert words[0] == "noisewise", words
        status = execute(words, speaker_settings)
        assert status == 0, f"{shlex.join(words)}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name_of)
def test_python_runs(page, workplace, toy_run):
    prepare_runs(page, toy_run)
    shutil.copytree(toy_run, "runs/mine", dirs_exist_ok=True)
    if "report/results.json" in page.read_text():
        arguments = ["evaluate", "runs/mine", "--data", "CORPUS", "--noise", "wind", "--snr", "5"]
        assert main([*arguments, "--out", "report", "--workers", "0"]) == 0
    shared: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, name_of(page), "exec"), shared)


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name_of)
def test_commands_have_their_shape(page):
    for words in commands(page):
        if words[0] == "pip":
            assert words[1] == "install"
            asked = {x for word in words for x in re.findall(r"\[([\w,]+)\]", word)}
            assert {name for names in asked for name in names.split(",")} <= set(extras())
        elif words[0] == "noisewise":
            parser_of(words[1]).parse_args(split_overrides(words[2:])[0])
        else:
            assert words[0] in NOT_RUN


def test_inline_commands_exist():
    """``noisewise VERB`` and extras that are mentioned in passing."""
    for page in PAGES:
        text = page.read_text()
        verbs = set(re.findall(r"`noisewise ([a-z-]+)", text))
        assert verbs <= set(COMMANDS), page
        named = {
            n
            for names in re.findall(r"(?:noisewise|\.)\[([\w,]+)\]", text)
            for n in names.split(",")
        }
        assert named <= set(extras()), page
        options = set(re.findall(r"`(--[a-z]+(?:-[a-z]+)*)(?![\w.])", text))
        assert options <= known_options(), f"{page}: {options - known_options()}"


def known_options():
    found = {"--version", "--help"}
    for verb in COMMANDS:
        for action in parser_of(verb)._actions:
            found |= set(action.option_strings)
    return found


def parser_of(verb):
    name = function_name(verb)
    function = getattr(import_module(f"noisewise.commands.{name}"), name)
    return make_parser(function, f"noisewise {verb}")


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w]+", "-", title.lower()).strip("-") for title in titles}
            assert anchor in slugs, f"{name_of(page)} links to {target}"


def test_readme_leads_with_the_two_commands():
    first = commands(ROOT / "README.md")[:4]
    assert first == [
        ["pip", "install", ".[demo]"],
        ["noisewise", "demo"],
        ["pip", "install", "-e", ".[dev]"],
        ["pytest"],
    ]
