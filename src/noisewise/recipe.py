"""Recipes: one YAML that names what fills each stage of the pipeline and its training phases."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from noisewise.components import Spec
from noisewise.errors import ConfigError

if TYPE_CHECKING:
    from noisewise.corpora.base import Corpus

M = TypeVar("M", bound=BaseModel)


class _Strict(BaseModel):
    """Refuses keys that it does not know, so that a misspelt one is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FoldsConfig(_Strict):
    """Folds of cross-validation, see `noisewise.corpora.folds`."""

    by: str
    number: int | None = Field(None, ge=2)
    validation: float = Field(0.15, gt=0, lt=1)
    text_disjoint: str | None = None


class DataConfig(_Strict):
    """Which corpus, and how it is split; by the run's seed where ``split_seed`` is None.

    With ``fold`` that one of the ``folds`` is the test part, whatever the official split.
    """

    corpus: str = "auto"
    root: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    fractions: tuple[float, float, float] = (0.6, 0.1, 0.3)
    split_seed: int | None = Field(None, ge=0)
    folds: FoldsConfig | None = None
    fold: str | None = Field(None, coerce_numbers_to_str=True)

    def seed(self, run: int) -> int:
        """Of the split, in a run with this seed."""
        return run if self.split_seed is None else self.split_seed

    def split(self, corpus: Corpus, run: int) -> Corpus:
        """The corpus as a run with this seed splits it.

        Raises:
            ConfigError: a fold without folds, or that is not there.
            CorpusError: a fold that cannot be left out.
        """
        if self.fold is None:
            return corpus.with_splits(self.seed(run), self.fractions)
        if self.folds is None:
            raise ConfigError(f"data.fold {self.fold!r} needs data.folds.by, a column")
        from noisewise.corpora.folds import with_fold

        return with_fold(corpus, self.fold, seed=self.seed(run), **self.folds.model_dump())


class ModelConfig(_Strict):
    """What fills the stages of the pipeline; what is None is not there."""

    enhancer: Spec | None = None
    upstream: Spec
    frame_enhancer: Spec | None = None
    trunk: Spec | None = None
    backend: Spec
    head: Spec | None = None
    transcriber: Spec | None = None


class AugmentConfig(_Strict):
    """Random changes to each training clip; probabilities in [0, 1]."""

    crop_s: float | None = Field(None, gt=0)
    fill: bool = False
    pad_s: float | None = Field(None, gt=0)
    clean_first: bool = False
    gain_db: tuple[float, float] = (0.0, 0.0)
    shift_ms: float = Field(0, ge=0)
    speed: tuple[float, float] = (1.0, 1.0)
    noise: list[str] = Field(default_factory=list)
    noise_prob: float = Field(0.8, ge=0, le=1)
    snr_db: tuple[float, float] = (0.0, 20.0)
    rooms: list[str] = Field(default_factory=list)
    room_prob: float = Field(0.3, ge=0, le=1)


class MaskConfig(_Strict):
    """How much of each clip is hidden from the blocks, and in runs of how many frames."""

    share: float = Field(0.3, gt=0, lt=1)
    span: int = Field(5, ge=1)


class PhaseMaskConfig(MaskConfig):
    """The same, and how many of the dimensions are hidden in all frames; 0 for none."""

    dims: float = Field(0.0, ge=0, lt=1)
    dims_span: int = Field(10, ge=1)


class PhaseConfig(_Strict):
    """A stretch of training: what learns, from which objective, for how long.

    ``augment`` holds what is another than in the recipe's own ``augment``. With ``validate_first``
    the weights that the phase begins with are validated too, and kept if none are better. The best
    weights are those with the best answers on validation clips or, with ``validate_by: loss``,
    those with the smallest objective there. A phase of 0 steps is left out.
    """

    name: str
    steps: int = Field(ge=0)
    train: list[str]
    batches: Spec
    objective: list[Spec] = Field(min_length=1)
    optimizer: Spec
    lr: float = Field(gt=0)
    lr_end: float = Field(ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    ema: float = Field(0.0, ge=0, lt=1)
    clip: float | None = Field(None, gt=0)
    teacher: Spec | None = None
    augment: dict[str, Any] = Field(default_factory=dict)
    mask: PhaseMaskConfig | None = None
    validate_every: int = Field(ge=1)
    validate_first: bool = False
    validate_by: Literal["answers", "loss"] = "answers"


class StartConfig(_Strict):
    """What is taken over from the run given as ``--init``, by the start of the tensors' names."""

    parts: list[str] = Field(["all"], min_length=1)


class SelectionConfig(_Strict):
    """How the best checkpoint is chosen on validation clips."""

    snr_db: list[float] = Field(default_factory=list)
    clips: int = Field(400, ge=1)
    reference_per_class: int = Field(20, ge=1)


class DecisionConfig(_Strict):
    """How the trained model answers.

    The rule ``slots`` has label columns that are answered together; the recipe's ``task`` is then
    what their combination is called. With ``known_only`` only combinations of training clips are
    answered.
    """

    name: Literal["knn", "prototypes", "head", "slots", "verification"]
    slots: list[str] = Field(default_factory=list)
    known_only: bool = True
    k: int = Field(5, ge=1)
    noisy_copies: int = Field(0, ge=0)
    cohort: int = Field(0, ge=0)
    top_n: int = Field(300, ge=2)
    false_accept_rate: float = Field(0.05, gt=0, lt=1)


class Recipe(_Strict):
    """A whole training run."""

    recipe: str
    description: str
    task: str
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    data: DataConfig = DataConfig()
    model: ModelConfig
    augment: AugmentConfig = AugmentConfig()
    start: StartConfig = StartConfig()
    phases: list[PhaseConfig] = Field(min_length=1)
    selection: SelectionConfig = SelectionConfig()
    decision: DecisionConfig


class TaskConfig(_Strict):
    """One column of a benchmark's tables: a label column of a corpus.

    The task ``identity`` asks who of the training speakers it is: where the corpus has no such
    column, each speaker's clips are split, not the speakers. Clips with a label in ``without`` are
    left out.
    """

    name: str
    task: str
    without: list[str] = Field(default_factory=list)
    data: DataConfig = DataConfig()


class ProbeConfig(_Strict):
    """What a probe or a learnt pooling may choose from, on validation clips.

    Attributes:
        lrs: learning rates of AdamW.
        decays: weight decays.
        epochs: passes over the training clips; the best of them is kept.
        batch: clips in a step.
        hidden: size of an MLP's only hidden layer.
    """

    lrs: list[float] = Field([1e-3, 1e-2], min_length=1)
    decays: list[float] = Field([0.0, 1e-3], min_length=1)
    epochs: int = Field(60, ge=1)
    batch: int = Field(256, ge=1)
    hidden: int = Field(256, ge=1)


class FramesConfig(_Strict):
    """What makes the frames, and how many k-means units are their codes."""

    upstream: Spec
    units: int | None = Field(None, ge=1)


class CompareConfig(_Strict):
    """Poolings by their names in tables, and the heads on those that do not learn."""

    poolings: dict[str, Spec] = Field(min_length=1)
    learnt: dict[str, Spec] = Field(default_factory=dict)
    probes: list[Literal["linear", "mlp"]] = Field(default_factory=list)


class TestConfig(_Strict):
    """What is done to test clips, besides leaving them clean."""

    noise: list[str] = Field(default_factory=list)
    snr_db: list[float] = Field(default_factory=list)
    rooms: list[str] = Field(default_factory=list)
    level: Literal["active", "full"] = "active"


class BenchmarkRecipe(_Strict):
    """Poolings of frozen frames, compared on several tasks."""

    recipe: str
    description: str
    kind: Literal["pooling-benchmark"]
    seeds: list[int] = Field(min_length=1)
    tasks: list[TaskConfig] = Field(min_length=1)
    frames: FramesConfig
    compare: CompareConfig
    probe: ProbeConfig = ProbeConfig()
    learning: ProbeConfig = ProbeConfig()
    test: TestConfig = TestConfig()


class UnlabelledConfig(_Strict):
    """A corpus of which only the audio, and who speaks, is used."""

    corpus: str = "auto"
    root: str
    options: dict[str, Any] = Field(default_factory=dict)
    fractions: tuple[float, float, float] = (0.7, 0.3, 0.0)
    licence: str | None = None


class NetworkConfig(_Strict):
    """A new self-supervised network: ``model_type`` and its values, and how it starts."""

    architecture: dict[str, Any]
    filterbank: bool = True
    half: bool = True


class UnitsConfig(_Strict):
    """The codes that the finished model gives: k-means units of each of these layers."""

    layers: list[int] = Field(min_length=1)
    units: int = Field(ge=2)


class HeldOutConfig(_Strict):
    """Validation clips whose loss is measured, which chooses the best weights."""

    clips: int = Field(400, ge=1)


class WatchConfig(_Strict):
    """Linear probes at each validation: for the log, they choose nothing."""

    tasks: list[TaskConfig] = Field(default_factory=list)
    probe: ProbeConfig = ProbeConfig()


class F0Config(_Strict):
    """Training clips, drawn by the seed, whose F0 gives the statistics that it is normalised by."""

    clips: int = Field(500, ge=1)


class UnlabelledRecipe(_Strict):
    """Training on audio alone: what all kinds of it have."""

    recipe: str
    description: str
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    corpora: list[UnlabelledConfig] = Field(min_length=1)
    augment: AugmentConfig = AugmentConfig()
    phases: list[PhaseConfig] = Field(min_length=1)
    held_out: HeldOutConfig = HeldOutConfig()


class PretrainRecipe(UnlabelledRecipe):
    """Self-supervised training of an upstream on unlabelled audio."""

    kind: Literal["pretraining"]
    network: NetworkConfig
    mask: MaskConfig = MaskConfig()
    watch: WatchConfig = WatchConfig()
    codes: UnitsConfig | None = None


class DecomposeRecipe(UnlabelledRecipe):
    """Training of a decomposer of speech, from its own reconstruction.

    ``decomposer`` has the options of `noisewise.upstream.decomposer.Decomposer`.
    """

    kind: Literal["decomposition"]
    decomposer: dict[str, Any] = Field(default_factory=dict)
    f0: F0Config = F0Config()


AnyRecipe = Recipe | BenchmarkRecipe | PretrainRecipe | DecomposeRecipe
KINDS: dict[str | None, type[AnyRecipe]] = {
    None: Recipe,
    "pooling-benchmark": BenchmarkRecipe,
    "pretraining": PretrainRecipe,
    "decomposition": DecomposeRecipe,
}
"""By the key ``kind`` of a recipe."""


def shipped() -> dict[str, Path]:
    """Name -> file of every recipe that comes with the package, sorted."""
    folder = Path(str(files("noisewise").joinpath("recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(name: str | Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a shipped recipe by name, or any YAML by path, and apply dotted overrides.

    Example:
        >>> load_recipe("kws-triplet", {"seed": 3, "data.fractions": [0.8, 0.1, 0.1]}).seed
        3

    Raises:
        ConfigError: no such recipe, not YAML, an unknown, missing or mistyped key, or a recipe
            of another kind.
    """
    recipe = load_any_recipe(name, overrides)
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"{name}: a recipe for {recipe.kind}, not for training a model on labels")
    return recipe


def load_any_recipe(name: str | Path, overrides: dict[str, Any] | None = None) -> AnyRecipe:
    """`load_recipe` for recipes of every kind in `KINDS`."""
    path = shipped().get(str(name)) or Path(name)
    if not path.is_file():
        raise ConfigError(f"no recipe {str(name)!r}; shipped: {', '.join(shipped())}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a YAML recipe ({error})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: not a YAML recipe (expected keys and values)")
    for key, value in (overrides or {}).items():
        _override(values, key.split("."), deepcopy(value), key)
    kind = values.get("kind")
    if kind not in KINDS:
        known = ", ".join(str(name) for name in KINDS if name)
        raise ConfigError(f"{path}: unknown kind {kind!r}; known: {known}, or none")
    return parse(KINDS[kind], values, str(path))


def parse(model: type[M], values: Any, where: str) -> M:
    """Validate plain values as a configuration class; ``where`` names their source in errors.

    Raises:
        ConfigError: an unknown, missing or mistyped key, named.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg'].lower()}"
            for e in error.errors()
        ]
        raise ConfigError(f"{where}: {'; '.join(lines)}") from error


def _override(values: Any, keys: Sequence[str], value: Any, whole: str) -> None:
    """Set a nested key; list items are reached by number (``phases.0.steps``)."""
    head, rest = keys[0], keys[1:]
    if isinstance(values, list):
        if not head.isdigit() or int(head) >= len(values):
            raise ConfigError(f"--{whole}: {head!r} is not one of the {len(values)} items")
        index: Any = int(head)
    elif isinstance(values, dict):
        index = head
        if rest and values.get(head) is None:
            values[head] = {}
    else:
        raise ConfigError(f"--{whole}: {head!r} is inside a plain value")
    if rest:
        _override(values[index], rest, value, whole)
    else:
        values[index] = value
