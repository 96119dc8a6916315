"""The run folder: what training writes, `load` opens, and nothing in it can run code.

A run folder holds ``config.json`` (which classes of ours, with which options, and a checksum
of every other file), ``model.safetensors``, ``labels.json``, ``decision.safetensors``,
``seen.json`` (hashes of the speakers that training used) and ``README.md`` (the model card).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save as save_tensors

from noisewise import __version__, audio
from noisewise.components import build
from noisewise.decision.base import Decision, Options
from noisewise.decision.fit import DECISIONS
from noisewise.decision.slots import SlotHeads
from noisewise.errors import AudioError, BundleError, ConfigError, NoisewiseError
from noisewise.files import json_bytes, write_atomic
from noisewise.model import SpeechModel, device_of
from noisewise.recipe import ModelConfig, parse
from noisewise.types import TRUE_SPEAKER, Waves

FORMAT = 1
CONFIG = "config.json"
_PICKLES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".npy", ".npz"})
_FILES = ("model.safetensors", "decision.safetensors", "labels.json", "seen.json")


class _DecisionConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Literal["knn", "prototypes", "head", "slots", "verification"]
    options: Options
    threshold: float | None
    target_far: float | None


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: int
    noisewise: str
    task: str
    model: ModelConfig
    decision: _DecisionConfig
    training: dict[str, Any]
    sha256: dict[str, str]
    digest: str


@dataclass
class Prediction:
    """The answer for one clip.

    Attributes:
        id: path of the clip.
        label: class name, or None where the model says "none of these".
        nearest: the most likely class even if it was rejected.
        slots: slot -> value, None for one that the clip does not speak of; of models with slots.
        score: confidence, to be compared with the model's threshold.
        text: what was said, of models with a transcriber.
        error: why the clip could not be used, else None.
    """

    id: str
    label: str | None = None
    nearest: str | None = None
    score: float | None = None
    slots: dict[str, str | None] | None = None
    text: str | None = None
    error: str | None = None


@dataclass
class Bundle:
    """A model ready for use: pipeline, labels, decision, and where it came from.

    Attributes:
        config: names and options of the model's components.
        model: the pipeline, in evaluation mode.
        task: what the labels mean ("keyword", ...).
        decision: rule from embedding to class.
        training: recipe name, seed, corpus and figures of selection.
        seen: hashes of the speakers (or clips without one) used in training and selection.
    """

    config: ModelConfig
    model: SpeechModel
    task: str
    decision: Decision
    training: dict[str, Any] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()

    @property
    def labels(self) -> list[str]:
        """Class names in the order of the decision's indices."""
        return self.decision.labels

    @property
    def device(self) -> torch.device:
        """Where the model's parameters live."""
        return device_of(self.model)

    def accelerate(self) -> Bundle:
        """Use the fastest tested inference of this machine, to a cosine of 0.999 or better."""
        self.model.accelerate()
        return self

    def to(self, device: torch.device | str) -> Bundle:
        """Move the model to ``device``.

        Raises:
            ConfigError: there is no such device here.
        """
        try:
            self.model.to(device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA fails an assertion
            raise ConfigError(f"device {str(device)!r} cannot be used here ({error})") from error
        return self

    def embed(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """(clips, dim) unit-length float32 embeddings of 16 kHz mono clips of any lengths."""
        return self._hear(clips, None)[0]

    def _hear(
        self, clips: Sequence[np.ndarray], beam: int | None
    ) -> tuple[np.ndarray, list[str] | None]:
        embedding, texts = self.model.eval().hear(Waves.collate(clips).to(self.device), beam)
        return embedding.float().cpu().numpy(), texts

    def predict(
        self, sources: Iterable[audio.Source], batch: int = 16, beam: int = 0
    ) -> Iterator[Prediction]:
        """Answer for each audio file; an unusable one becomes an answer with its error.

        Args:
            sources: audio files.
            batch: clips in a pass.
            beam: of transcripts, see `SpeechModel.hear`.
        """
        pending: list[tuple[Prediction, np.ndarray | None]] = []
        for source in sources:
            name = audio.describe(source)
            try:
                pending.append((Prediction(name), audio.read(source)))
            except AudioError as error:
                pending.append((Prediction(name, error=str(error)), None))
            if len(pending) == batch:
                yield from self._answer(pending, beam)
                pending = []
        yield from self._answer(pending, beam)

    def _answer(
        self, pending: list[tuple[Prediction, np.ndarray | None]], beam: int
    ) -> Iterator[Prediction]:
        clips = [clip for _, clip in pending if clip is not None]
        if clips:
            vectors, texts = self._hear(clips, beam)
            answer = self.decision.answer(vectors)
            usable = [prediction for prediction, clip in pending if clip is not None]
            names = self.decision.named(answer)
            said = self.decision.said(answer)
            for i, prediction in enumerate(usable):
                prediction.nearest = names[i]
                prediction.slots = said[i] if said else None
                prediction.text = None if texts is None else texts[i]
                prediction.score = round(float(answer.score[i]), 6)
                prediction.label = prediction.nearest if answer.accepted[i] else None
        yield from (prediction for prediction, _ in pending)

    def has_seen(self, row: Mapping[str, Any]) -> bool:
        """Whether training or selection used this corpus row's speaker (or the clip itself)."""
        return not self.seen.isdisjoint(seen_keys(row))


def seen_key(row: Mapping[str, Any]) -> str:
    """Hash by which a run remembers the speaker of a corpus row.

    A clip without a speaker is remembered by its id and size in bytes.
    """
    text = f"speaker:{row['speaker']}"
    if row["speaker"] is None:
        data, path = row["audio"]["bytes"], row["audio"]["path"]
        size = len(data) if data is not None else Path(path).stat().st_size
        text = f"clip:{row['id']}:{size}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def seen_keys(row: Mapping[str, Any]) -> set[str]:
    """`seen_key`, also of the true speaker where the corpus calls something else a speaker."""
    true = row.get(TRUE_SPEAKER)
    return {seen_key(row)} | ({seen_key({**row, "speaker": true})} if true is not None else set())


def build_model(config: ModelConfig, classes: int | Mapping[str, int]) -> SpeechModel:
    """A freshly initialised pipeline.

    Args:
        config: of the recipe.
        classes: how many; or how many values each slot has, for a head each.

    Raises:
        ConfigError: an unknown component or option.
    """
    upstream = build("upstream", config.upstream)
    dim, layers = upstream.dim, getattr(upstream, "depth", 1)
    enhancer = frame_enhancer = trunk = transcriber = None
    if config.enhancer is not None:
        enhancer = build("enhancer", config.enhancer)
    if config.frame_enhancer is not None:
        frame_enhancer = build("frame_enhancer", config.frame_enhancer, dim=dim)
    if config.trunk is not None:
        trunk = build("trunk", config.trunk, dim=dim)
        dim, layers = trunk.dim, 1
    backend = build("backend", config.backend, dim=dim, layers=layers)
    heads = {}
    if config.head is not None:
        sizes = {"label": classes} if isinstance(classes, int) else classes
        for name, size in sizes.items():
            heads[name] = build("head", config.head, dim=backend.dim, classes=size)
    if config.transcriber is not None:
        transcriber = build("transcriber", config.transcriber, dim=dim, layers=layers)
    return SpeechModel(upstream, backend, heads, enhancer, frame_enhancer, transcriber, trunk)


def save(bundle: Bundle, folder: Path | str) -> Path:
    """Write a run folder; every file appears whole or not at all.

    Raises:
        BundleError: the folder cannot be written (full disk, no permission).
    """
    folder = Path(folder)
    decision = bundle.decision
    own = self_contained(bundle.config, bundle.model)
    state = {k: v.detach().cpu().contiguous() for k, v in bundle.model.state_dict().items()}
    arrays = {k: np.ascontiguousarray(v) for k, v in decision.state().items()}
    contents: dict[str, bytes] = {
        "model.safetensors": save_tensors(state),
        "decision.safetensors": save_arrays(arrays),
        "labels.json": json_bytes(decision.labels),
        "seen.json": json_bytes(sorted(bundle.seen)),
    }
    config: dict[str, Any] = {
        "format": FORMAT,
        "noisewise": __version__,
        "task": bundle.task,
        "model": own.model_dump(),
        "decision": {
            "name": decision.name,
            "options": decision.options(),
            "threshold": decision.threshold,
            "target_far": decision.target_far,
        },
        "training": bundle.training,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    }
    config["digest"] = _digest(config)
    contents["README.md"] = model_card(bundle).encode()
    contents["config.json"] = json_bytes(config)  # last: a folder with a config is complete
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            write_atomic(folder / name, data)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error})") from error
    return folder


def self_contained(config: ModelConfig, model: SpeechModel) -> ModelConfig:
    """The configuration with an upstream that is built without the files it was read from.

    An upstream that reads weights of others (by a hub id, say) has an attribute ``spec`` with the
    options that build it empty; the run folder's own weights fill it.
    """
    spec = getattr(model.upstream, "spec", None)
    if spec is None:
        return config
    return config.model_copy(update={"upstream": {"name": config.upstream["name"], **spec}})


def load(folder: Path | str, device: str = "cpu") -> Bundle:
    """Open a run folder. No code in it can run: see the module's text.

    Raises:
        BundleError: not a run folder, an incomplete or altered one, or one with a pickle in it.
    """
    folder = Path(folder)
    config = _read_config(folder)
    try:
        labels = json.loads((folder / "labels.json").read_text())
        seen = json.loads((folder / "seen.json").read_text())
        if not all(
            isinstance(x, list) and all(isinstance(s, str) for s in x) for x in (labels, seen)
        ):
            raise BundleError(f"{folder}: labels.json and seen.json must be lists of strings")
        state = load_tensors(folder / "model.safetensors")
        arrays = load_arrays(folder / "decision.safetensors")
        model = build_model(config.model, _head_sizes(state))
        model.load_state_dict(state, strict=True)
        stored = config.decision
        decision = DECISIONS[stored.name](labels, **arrays, **stored.options)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError, ConfigError) as error:
        raise BundleError(f"{folder}: not a usable run folder ({error})") from error
    decision.threshold, decision.target_far = stored.threshold, stored.target_far
    bundle = Bundle(
        config.model, model.eval(), config.task, decision, config.training, frozenset(seen)
    )
    return bundle.to(device)


def _head_sizes(state: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Head -> its classes, from the weights of linear and cosine heads."""
    found = {}
    for name, value in state.items():
        match = re.fullmatch(r"heads\.(.+?)(\.linear)?\.weight", name)
        if match and value.dim() == 2:
            found[match[1]] = len(value)
    return found


def _read_config(folder: Path) -> _Config:
    if not (folder / "config.json").is_file():
        raise BundleError(f"{folder}: not a run folder (config.json is missing)")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _PICKLES:
            raise BundleError(f"{path}: refused, a run folder must not hold pickles or arrays")
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = parse(_Config, values, str(folder / "config.json"))
    except (ValueError, OSError, NoisewiseError) as error:
        raise BundleError(f"{folder}: config.json is not valid ({error})") from error
    if _digest(values) != config.digest:
        raise BundleError(f"{folder}: config.json was altered after it was written")
    if config.format != FORMAT:
        raise BundleError(f"{folder}: format {config.format}, this noisewise reads {FORMAT}")
    if set(config.sha256) != set(_FILES):
        raise BundleError(f"{folder}: config.json must list checksums of {', '.join(_FILES)}")
    for name, expected in config.sha256.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{folder}: {name} is missing")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise BundleError(f"{path}: does not match its checksum in config.json")
    return config


def _digest(config: dict[str, Any]) -> str:
    """Hash of a configuration without its own ``digest``."""
    rest = {key: value for key, value in config.items() if key != "digest"}
    return hashlib.sha256(json_bytes(rest)).hexdigest()


def model_card(bundle: Bundle) -> str:
    """A short Markdown card: what the model does, how it was made, how to use it."""
    decision, training = bundle.decision, bundle.training
    lines = [f"# {training.get('recipe', 'noisewise model')}", ""]
    lines += [f"- task: {bundle.task}"]
    if isinstance(decision, SlotHeads):
        lines += [f"- {slot}: {', '.join(filter(None, v))}" for slot, v in decision.slots.items()]
    else:
        lines += [f"- classes: {', '.join(bundle.labels)}"]
    if bundle.model.transcriber is not None:
        vocabulary: Any = bundle.model.transcriber.vocabulary
        lines += [f"- writes what was said in: `{vocabulary.characters.strip()}`"]
    lines += [f"- parameters: {sum(p.numel() for p in bundle.model.parameters()):,}"]
    lines += [f"- decision: {decision.name}"]
    if decision.threshold is not None:
        lines += [
            f"- rejection threshold: {decision.threshold:.4f}, set on validation clips for a "
            f"false-accept rate of {decision.target_far:g}"
        ]
    lines += [f"- {key}: {value}" for key, value in sorted(training.items()) if key != "recipe"]
    lines += ["", "```python", "import noisewise", 'model = noisewise.load("this folder")']
    lines += ['print(list(model.predict(["clip.wav"])))', "```", ""]
    return "\n".join(lines)
