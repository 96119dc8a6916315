"""Fixtures shared by all tests."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal

if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core, also in what tests start
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from safetensors.torch import save_file
from torch import nn

from noisewise import audio
from noisewise.seeding import rng

# a deadline would be a check of time, and machines differ
settings.register_profile("noisewise", deadline=None)
settings.load_profile("noisewise")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("NOISEWISE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real recordings not found at {folder} (set NOISEWISE_DATA)")
    return folder


@pytest.fixture(scope="session")
def specs() -> Path:
    """Folder of golden values; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("NOISEWISE_SPECS", ROOT.parent / "shared" / "specs"))
    if not folder.is_dir():
        pytest.skip(f"golden values not found at {folder} (set NOISEWISE_SPECS)")
    return folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random weights and inputs at every run of a test."""
    torch.manual_seed(0)


PRELUDE = """
import os, sys, torch
os.dup2(os.open({errors!r}, os.O_WRONLY | os.O_CREAT), 2)
sys.argv = {words!r}
torch.set_num_threads(1)
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""
MEETING = """
import os, sys
from datetime import timedelta
import torch
from torch import distributed, nn
folder, rank = sys.argv[1], int(sys.argv[2])
meeting, patience = f"file://{folder}/meeting", timedelta(seconds=100)
distributed.init_process_group("gloo", meeting, patience, rank=rank, world_size=2)
"""
# taking a process group down can wait for ever for its own thread, which waits for the GIL
LEAVE = """
torch.save(found, f"{folder}/{rank}.pt")
os._exit(0)
"""


class Started:
    """A process that runs a script, and what it says on its standard error."""

    def __init__(self, process: Any, open_ends: Connection, errors: Path) -> None:
        self.process, self.open_ends, self.errors = process, open_ends, errors

    def ends_with(self, code: int) -> None:
        """Wait for it and for what it has started, which must end with this code."""
        assert self.open_ends.poll(300), f"still runs: {self.errors.read_text()}"
        self.process.join()
        assert self.process.exitcode == code, self.errors.read_text()

    def finish(self) -> None:
        """It must end well."""
        self.ends_with(0)

    def die(self) -> None:
        """It must kill itself."""
        self.ends_with(-signal.SIGKILL)


class Processes:
    """Starts scripts, each in a process of its own with one thread.

    They are forked from a server that has imported what takes long and done nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.numbers = folder, count()
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["noisewise.training.run"])

    def start(self, code: str, *words: object) -> Started:
        """Run a script, whose ``sys.argv[1:]`` are the words."""
        script = self.folder / f"{next(self.numbers)}.py"
        script.write_text(code)
        errors = script.with_suffix(".txt")
        errors.touch()
        prelude = PRELUDE.format(errors=str(errors), words=[str(script), *map(str, words)])
        ours, theirs = self.context.Pipe(duplex=False)
        # its own children inherit the end, so that it is closed when the last of them has gone
        process = self.context.Process(
            target=exec, args=(prelude, {"__name__": "__main__", "end": theirs})
        )
        process.start()
        theirs.close()
        return Started(process, ours, errors)

    def pair(self, code: str, folder: Path, *words: object) -> list[Any]:
        """What two processes of one group, ``rank`` 0 and 1, have put into ``found``."""
        save = '\ntorch.save(found, f"{folder}/{rank}.pt")'
        started = [
            self.start(MEETING + code + save + LEAVE, folder, rank, *words) for rank in (0, 1)
        ]
        for one in started:
            one.finish()
        return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Processes:
    return Processes(tmp_path_factory.mktemp("processes"))


WORDS = ("fall", "hum", "rise")
SPEAKERS = tuple(f"voice{n}" for n in range(20))


def toy_clip(word: str, speaker: int, take: int, seconds: float = 0.5) -> np.ndarray:
    """A quickly learnt stand-in for a word: a gliding tone with harmonics, in a "voice"."""
    t = np.arange(int(seconds * 16000)) / 16000
    base = 120 + 8 * speaker + 3 * take
    slope = {"fall": -0.5, "hum": 0.0, "rise": 1.0}[word]
    phase = 2 * np.pi * base * (t + slope * t**2 / (2 * seconds))
    tone = sum(np.sin(h * phase) / h for h in (1, 2, 3, 4))
    noise = rng(0, "toy", word, speaker, take).standard_normal(len(t))
    return (0.2 * np.hanning(len(t)) * tone + 1e-3 * noise).astype(np.float32)


@pytest.fixture(scope="session")
def toy_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 3 "words" by 20 speakers, 2 takes each."""
    root = tmp_path_factory.mktemp("toy")
    for word in WORDS:
        (root / word).mkdir()
        for number, speaker in enumerate(SPEAKERS):
            for take in range(2):
                path = root / word / f"{speaker}_nohash_{take}.wav"
                audio.write(path, toy_clip(word, number, take))
    return root


@pytest.fixture(scope="session")
def emotion_corpus(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy clips laid out as RAVDESS: 10 actors, 3 emotions, both statements."""
    root = tmp_path_factory.mktemp("emotions")
    for actor in range(1, 11):
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir()
        for emotion, word in zip(("03", "04", "05"), WORDS, strict=True):
            for take in range(2):
                name = f"03-01-{emotion}-01-0{take + 1}-01-{actor:02d}.wav"
                shutil.copy(toy_corpus / word / f"voice{actor}_nohash_{take}.wav", folder / name)
    return root


@pytest.fixture(scope="session")
def small_split(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``small_split("decomposed")``: folder of a small decomposer with fresh weights."""
    from noisewise.upstream.decomposer import Decomposer, write_decomposer

    def make(encoders: str) -> Path:
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("split")
        decomposer = Decomposer(
            encoders,  # type: ignore[arg-type]
            channels=(16, 16, 16),
            hidden=(2, 1, 3),
            timbre=4,
            timbre_channels=16,
            decoder=8,
            decoder_layers=1,
        )
        write_decomposer(folder, decomposer, ["someone"])
        return folder

    return make


@pytest.fixture(scope="session")
def toy_settings(toy_corpus: Path) -> dict[str, Any]:
    """Overrides that make a shipped recipe train on the toy corpus within seconds."""
    return {
        "data.root": str(toy_corpus),
        "data.fractions": [0.5, 0.2, 0.3],
        "model.upstream.encoder": {"name": "res8", "maps": 8},
        "augment.noise": ["pink", "babble@speakers=3"],
        "augment.shift_ms": 20,
        "phases.0.steps": 12,
        "phases.0.validate_every": 6,
        "precision": "32-true",
        "selection.clips": 20,
    }


@pytest.fixture(scope="session")
def only_phases() -> Callable[..., dict[str, Any]]:
    """Override that keeps these phases of a shipped recipe (put it before those of a phase)."""
    from noisewise.recipe import load_recipe

    def phases(name: str, *numbers: int) -> dict[str, Any]:
        shipped = load_recipe(name).phases
        return {"phases": [shipped[number].model_dump() for number in numbers]}

    return phases


@pytest.fixture(scope="session")
def toy_triplet(
    toy_settings: dict[str, Any], only_phases: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """``toy_settings`` for kws-triplet without its warm-up."""
    return only_phases("kws-triplet", 1) | toy_settings


@pytest.fixture(scope="session")
def toy_run(toy_triplet: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run folder of kws-triplet on the toy corpus; copy it before changing it."""
    from noisewise.recipe import load_recipe
    from noisewise.training.run import train

    out = tmp_path_factory.mktemp("run") / "toy"
    batches = {"phases.0.batches": {"name": "classes", "classes": 3, "per_class": 4}}
    train(load_recipe("kws-triplet", toy_triplet | batches), out)
    return out


@pytest.fixture(scope="session")
def slot_corpus(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of the toy corpus: slot ``shape`` is the word, slot ``turn`` said by half."""
    path = tmp_path_factory.mktemp("slots") / "orders.jsonl"
    lines = []
    for file in sorted(toy_corpus.rglob("*.wav")):
        speaker, _, take = file.stem.split("_")
        line = {"audio_filepath": str(file), "id": f"{file.parent.name}-{file.stem}"}
        line |= {"speaker": speaker, "shape": file.parent.name}
        lines.append(json.dumps(line | ({"turn": "again"} if take == "1" else {})))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def slot_run(
    slot_corpus: Path, toy_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that answers the slots of `slot_corpus`, not in the order of the alphabet."""
    from noisewise.recipe import load_recipe
    from noisewise.training.run import train

    changes = {
        "data.root": str(slot_corpus),
        "decision.name": "slots",
        "decision.slots": ["turn", "shape"],
        "decision.known_only": False,
    }
    out = tmp_path_factory.mktemp("slot-run") / "slots"
    train(load_recipe("kws-softmax", toy_settings | changes), out)
    return out


@pytest.fixture(scope="session")
def spoken_corpus(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of the toy corpus in which three of four clips have a text: their word."""
    path = tmp_path_factory.mktemp("spoken") / "words.jsonl"
    lines = []
    for number, file in enumerate(sorted(toy_corpus.rglob("*.wav"))):
        word, speaker = file.parent.name, file.stem.split("_")[0]
        line = {"audio_filepath": str(file), "id": f"{word}-{file.stem}", "speaker": speaker}
        text = {} if number % 4 == 0 else {"text": f" {word.title()} . "}
        lines.append(json.dumps({**line, "label": word, **text}))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def spoken_settings(spoken_corpus: Path, toy_settings: dict[str, Any]) -> dict[str, Any]:
    """Overrides by which kws-softmax learns words, what was said, and who spoke."""
    return toy_settings | {
        "data.root": str(spoken_corpus),
        "model.upstream.encoder": {"name": "res8", "maps": 8, "pool": [4, 6]},
        "model.transcriber": {"name": "ctc", "vocabulary": " aefhilmrsu"},
        "model.upstream.mask": None,
        "augment.noise": [],
        "augment.shift_ms": 0,
        "augment.speed": [1, 1],
        "phases.0.steps": 80,
        "phases.0.validate_every": 40,
        "phases.0.batches": {"name": "shuffled", "batch_size": 24},
        "phases.0.lr": 0.02,
        "phases.0.ema": 0.9,
        "phases.0.objective": [
            {"name": "cross_entropy"},
            {"name": "ctc"},
            {"name": "speaker", "weight": 0.1},
        ],
    }


@pytest.fixture(scope="session")
def spoken_run(spoken_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that answers words and writes what was said."""
    from noisewise.recipe import load_recipe
    from noisewise.training.run import train

    out = tmp_path_factory.mktemp("spoken-run") / "spoken"
    train(load_recipe("kws-softmax", spoken_settings), out)
    return out


ENHANCER = {"name": "wave_unet", "levels": 4, "step": 4, "residual": True}


@pytest.fixture(scope="session")
def enhancing_run(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy run with an untrained enhancer, whose weights show; copy it before changing it."""
    from noisewise.bundle import build_model, load, save

    bundle = load(toy_run)
    bundle.config = bundle.config.model_copy(update={"enhancer": ENHANCER})
    torch.manual_seed(0)
    model = build_model(bundle.config, len(bundle.labels))
    model.load_state_dict(bundle.model.state_dict(), strict=False)
    for parameter in model.enhancer.out.parameters():
        nn.init.normal_(parameter, std=0.1)
    bundle.model = model.eval()
    return save(bundle, tmp_path_factory.mktemp("enhancing") / "enhancing")


HUB_SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [12] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
HUB_LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
HUB_FAMILIES: dict[str, dict[str, Any]] = {
    "wav2vec2-base": {"model_type": "wav2vec2", "num_codevectors_per_group": 20},
    "xls-r": {"model_type": "wav2vec2", "num_codevectors_per_group": 20, **HUB_LARGE},
    "hubert-base": {"model_type": "hubert"},
    "hubert-large": {"model_type": "hubert", **HUB_LARGE},
    "wavlm-base": {"model_type": "wavlm"},
    "wavlm-large": {"model_type": "wavlm", **HUB_LARGE},
    "data2vec-audio": {"model_type": "data2vec-audio", "feat_extract_norm": "layer",
                       "conv_pos_kernel_size": 5},
}  # fmt: skip


@pytest.fixture
def hub_folder(tmp_path: Path) -> Callable[..., Path]:
    """``hub_folder(name)``: a folder as the hub has it, with random weights."""

    def make(name: str, **changes: Any) -> Path:
        import transformers

        values = HUB_SIZES | HUB_FAMILIES[name] | changes
        kinds = {"wav2vec2": "Wav2Vec2ForPreTraining", "hubert": "HubertModel",
                 "wavlm": "WavLMModel", "data2vec-audio": "Data2VecAudioModel"}  # fmt: skip
        kind = getattr(transformers, kinds[values["model_type"]])
        config = kind.config_class(**{k: v for k, v in values.items() if k != "model_type"})
        torch.manual_seed(0)
        network = kind(config)
        with torch.no_grad():  # larger than usual, so that differences show
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        folder = tmp_path / name
        folder.mkdir()
        save_file({k: v.contiguous() for k, v in network.state_dict().items()},
                  folder / "model.safetensors")  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config.to_dict(), default=str))
        (folder / "preprocessor_config.json").write_text('{"do_normalize": true}')
        return folder

    return make


SMALL_ARCHITECTURE = {
    "model_type": "hubert",
    **HUB_LARGE,
    "conv_dim": [8, 8, 8],
    "conv_kernel": [400, 4, 4],
    "conv_stride": [80, 2, 2],
    "num_feat_extract_layers": 3,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    **dict.fromkeys(("hidden_dropout", "attention_dropout", "feat_proj_dropout"), 0.0),
}


@pytest.fixture(scope="session")
def small_upstream() -> Callable[..., Any]:
    """``small_upstream(seed, **options)``: a network for pre-training, with weights that show."""
    from noisewise.upstream.selfsupervised import SelfSupervisedUpstream

    def make(seed: int = 0, **options: Any) -> SelfSupervisedUpstream:
        torch.manual_seed(seed)
        options = {"architecture": SMALL_ARCHITECTURE, "mean": False} | options
        upstream = SelfSupervisedUpstream(**options).eval()
        with torch.no_grad():
            for parameter in upstream.network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return upstream

    return make


@pytest.fixture(scope="session")
def speaker_settings(toy_corpus: Path) -> dict[str, Any]:
    """Overrides that make sv-naw train on the toy corpus within seconds."""
    own = {"name": "layer_statistics", "embedding": 8}
    changes: dict[str, Any] = {
        "data.root": str(toy_corpus),
        "data.options": {},
        "data.fractions": [0.5, 0.2, 0.3],
        "model.upstream": {
            "name": "selfsupervised",
            "architecture": SMALL_ARCHITECTURE,
            "mean": False,
            "adapter_size": 4,
        },
        "model.backend": {
            "name": "ecapa",
            **{"channels": 16, "scale": 4, "bottleneck": 4, "aggregated": 16, "attention": 8},
            "embedding": 12,
        },
        "augment.crop_s": 0.3,
        "augment.noise": ["pink", "babble@speakers=3"],
        "phases.4.augment.crop_s": 0.4,
        "precision": "32-true",
        "selection.clips": 18,
    }
    for number in range(5):
        warm_up = number < 2
        changes |= {
            f"phases.{number}.steps": 4,
            f"phases.{number}.validate_every": 2,
            f"phases.{number}.batches.{'pairs' if warm_up else 'batch_size'}": 6,
        }
        if warm_up:
            changes[f"phases.{number}.objective.1.backend"] = own
    return changes


@pytest.fixture(scope="session")
def speaker_run(speaker_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run folder of sv-naw on the toy corpus; copy it before changing it."""
    from noisewise.recipe import load_recipe
    from noisewise.training.run import train

    out = tmp_path_factory.mktemp("speakers") / "toy"
    train(load_recipe("sv-naw", speaker_settings), out)
    return out


@pytest.fixture(scope="session")
def published_res() -> Callable[..., OrderedDict[str, torch.Tensor]]:
    """``published_res(layers, maps)``: a checkpoint as the authors of triplet-kws write it."""

    def make(layers: int = 13, maps: int = 4) -> OrderedDict[str, torch.Tensor]:
        draw = torch.Generator().manual_seed(0)
        state = OrderedDict()
        for i in range(layers + 1):
            state[f"conv{i}.weight"] = torch.randn(maps, maps if i else 1, 3, 3, generator=draw)
            if i:
                state[f"bn{i}.running_mean"] = torch.randn(maps, generator=draw)
                state[f"bn{i}.running_var"] = torch.rand(maps, generator=draw) + 0.5
                state[f"bn{i}.num_batches_tracked"] = torch.tensor(7)
        return state

    return make


FAIRSEQ_ARGS = {
    "arch": "wav2vec",
    "conv_feature_layers": "[(8, 10, 5), (8, 8, 4)] + [(8, 4, 2)] * 3",
    "conv_aggregator_layers": "[(8, 2, 1), (8, 3, 1), (8, 4, 1)]",
    "log_compression": True,
    "skip_connections_agg": True,
    "residual_scale": 0.5,
}


class FairseqWav2Vec(nn.Module):
    """The blocks as fairseq nests them, so that names and order of weights are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor, self.feature_aggregator = nn.Module(), nn.Module()
        blocks, channels = [], 1
        for size, kernel, stride in [(8, 10, 5), (8, 8, 4), (8, 4, 2), (8, 4, 2), (8, 4, 2)]:
            conv = nn.Conv1d(channels, size, kernel, stride, bias=False)
            blocks.append(nn.Sequential(conv, nn.Dropout(0), nn.GroupNorm(1, size), nn.ReLU()))
            channels = size
        self.feature_extractor.conv_layers = nn.ModuleList(blocks)
        self.feature_aggregator.conv_layers = nn.ModuleList(
            nn.Sequential(nn.ReplicationPad1d((k - 1, 0)), nn.Conv1d(8, 8, k), nn.Dropout(0),
                          nn.GroupNorm(1, 8), nn.ReLU())
            for k in (2, 3, 4)
        )  # fmt: skip
        self.wav2vec_predictions = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 1, samples) -> (batch, channels, frames)."""
        for block in self.feature_extractor.conv_layers:
            x = block(x)
        x = torch.log(x.abs() + 1)
        for block in self.feature_aggregator.conv_layers:
            x = (block(x) + x) * 0.5**0.5
        return x


@pytest.fixture
def fairseq_wav2vec() -> nn.Module:
    """A small network as fairseq has it, with weights that show."""
    torch.manual_seed(0)
    network = FairseqWav2Vec().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network


@pytest.fixture
def fairseq_checkpoint(fairseq_wav2vec: nn.Module) -> Callable[..., Path]:
    """``fairseq_checkpoint(path, **changes)``: that network's checkpoint, as fairseq writes it."""

    def write(path: Path, **changes: Any) -> Path:
        args = argparse.Namespace(**FAIRSEQ_ARGS | changes)
        content = {"args": args, "model": fairseq_wav2vec.state_dict(), "extra": {"epoch": 3}}
        torch.save(content, path)
        return path

    return write
