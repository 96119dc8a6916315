"""Recipes: every shipped one loads and explains itself; anything misspelt is refused by name."""

import re

import pytest
import yaml

from noisewise.errors import ConfigError
from noisewise.recipe import (
    BenchmarkRecipe,
    DataConfig,
    DecomposeRecipe,
    PhaseMaskConfig,
    PretrainRecipe,
    Recipe,
    load_any_recipe,
    load_recipe,
    shipped,
)

TRAINING = [name for name in shipped() if isinstance(load_any_recipe(name), Recipe)]


@pytest.mark.parametrize("name", TRAINING)
def test_shipped_recipes_load_and_build(name):
    from noisewise.bundle import build_model
    from noisewise.components import build

    recipe = load_recipe(name)
    assert recipe.recipe == name
    assert recipe.description
    model = build_model(recipe.model, classes=12)
    for phase in recipe.phases:
        assert phase.steps >= phase.validate_every
        for spec in phase.objective:
            build("term", spec)
        build("optimizer", phase.optimizer, params=list(model.parameters()))


def test_shipped_benchmarks_load_and_build():
    from noisewise.components import build

    others = {"pooling-benchmark", "noisewise-small", "decompose"}
    assert set(shipped()) - set(TRAINING) == others
    recipe = load_any_recipe("pooling-benchmark")
    assert isinstance(recipe, BenchmarkRecipe)
    assert recipe.recipe == "pooling-benchmark"
    upstream = build("upstream", recipe.frames.upstream)
    for spec in (recipe.compare.poolings | recipe.compare.learnt).values():
        build("pooling", spec, dim=upstream.dim, moments=None, counts=None, sizes=(3,))
    with pytest.raises(ConfigError, match="a recipe for pooling-benchmark, not for training"):
        load_recipe("pooling-benchmark")


def test_shipped_pretraining_loads_and_builds():
    from noisewise.training.pretrain import build_masked

    recipe = load_any_recipe("noisewise-small")
    assert isinstance(recipe, PretrainRecipe)
    assert recipe.recipe == "noisewise-small"
    model = build_masked(recipe)
    assert sum(p.numel() for p in model.upstream.parameters()) * 2 < 16e6
    assert max(recipe.codes.layers) <= recipe.network.architecture["num_hidden_layers"]


def test_shipped_decomposition_is_that_of_the_decomposers_in_the_package():
    from noisewise.upstream.decomposer import SHIPPED, build_decomposer, read_decomposer

    recipe = load_any_recipe("decompose")
    assert isinstance(recipe, DecomposeRecipe)
    for name, encoders in zip(SHIPPED, ("decomposed", "single"), strict=True):
        ours = build_decomposer({**recipe.decomposer, "encoders": encoders})
        assert read_decomposer(name).decomposer.options == ours.options
        assert sum(p.numel() for p in ours.parameters()) * 2 < 5e6


def test_the_recipes_of_emotion_differ_in_what_they_are_about_alone():
    ser, asr, single, parts = (
        load_recipe(f"emotion-{name}")
        for name in ("ser", "ser-asr", "single-encoder", "decomposed")
    )
    for recipe in (asr, single, parts):
        for key in ("task", "data", "augment", "selection", "decision"):
            assert getattr(recipe, key) == getattr(ser, key)
        for key in ("trunk", "backend", "head"):
            assert getattr(recipe.model, key) == getattr(ser.model, key)
        for key in ("steps", "batches", "optimizer", "lr", "warmup", "clip"):
            assert getattr(recipe.phases[0], key) == getattr(ser.phases[0], key)
    assert asr.model.upstream == ser.model.upstream == single.model.upstream["base"]
    assert single.phases[0].objective == parts.phases[0].objective
    assert parts.phases[0].objective[:2] == asr.phases[0].objective


def test_the_speaker_recipes_are_parts_of_one():
    whole, warm_up, rest, plain = (
        load_recipe(f"sv-{name}") for name in ("naw", "naw-warmup", "finetune", "plain")
    )
    assert whole.phases == warm_up.phases + rest.phases
    for ours, theirs in zip(rest.phases, plain.phases, strict=True):
        for key in ("name", "batches", "objective", "augment", "mask"):
            assert getattr(ours, key) == getattr(theirs, key)
    for recipe in (warm_up, rest, plain):
        for key in ("task", "data", "augment", "selection", "decision"):
            assert getattr(recipe, key) == getattr(whole, key)
    assert whole.model == rest.model
    adapter = {"adapter_size": whole.model.upstream["adapter_size"]}
    assert warm_up.model.upstream == whole.model.upstream == plain.model.upstream | adapter
    assert plain.model.backend == warm_up.model.backend == whole.model.backend
    assert plain.model.head == whole.model.head


def test_the_split_can_have_a_seed_of_its_own():
    assert [DataConfig().seed(run) for run in (0, 5)] == [0, 5]
    assert [DataConfig(split_seed=3).seed(run) for run in (0, 5)] == [3, 3]
    assert DataConfig(split_seed=0).seed(5) == 0  # 0 is a seed, not nothing
    recipe = load_recipe("sv-naw", {"seed": 4})
    assert recipe.data.seed(recipe.seed) == 0
    assert load_recipe("sv-naw", {"seed": 4, "data.split_seed": None}).data.seed(4) == 4


def test_a_phase_has_a_mask_and_augmentation_of_its_own():
    recipe = load_recipe("sv-naw", {"phases.4.mask": {"share": 0.2}, "phases.3.augment.fill": True})
    masks = [phase.mask for phase in recipe.phases]
    assert masks[0] == PhaseMaskConfig(share=0.1, span=5, dims=0.05, dims_span=10)
    assert masks[2] is None
    assert masks[4] == PhaseMaskConfig(share=0.2, span=5, dims=0, dims_span=10)
    assert recipe.phases[3].augment == {"fill": True}
    assert recipe.phases[0].augment["clean_first"] is True
    assert recipe.augment.clean_first is False


def test_an_unknown_kind_is_refused(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("recipe: x\nkind: zebra\n")
    with pytest.raises(ConfigError, match="unknown kind 'zebra'; known: pooling-benchmark"):
        load_any_recipe(file)


@pytest.mark.parametrize("name", shipped())
def test_every_key_of_a_shipped_recipe_is_commented(name):
    lines = shipped()[name].read_text().splitlines()
    keys = [i for i, line in enumerate(lines) if re.match(r"\s*(- )?[a-z_0-9]+:", line)]
    assert len(keys) > 30
    bare = [lines[i] for i in keys if not lines[i - 1].strip().startswith("#")]
    assert bare == []


def test_overrides_reach_everything():
    recipe = load_recipe(
        "kws-triplet",
        {
            "seed": 3,
            "phases.0.steps": 7,
            "phases.0.validate_every": 7,
            "model.upstream.encoder.maps": 8,
            "data.options.classes": 35,
        },
    )
    assert (recipe.seed, recipe.phases[0].steps) == (3, 7)
    assert recipe.model.upstream["encoder"]["maps"] == 8
    assert recipe.data.options == {"classes": 35}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sead", 1, "sead: extra inputs are not permitted"),
        ("phases.0.stepz", 1, "phases.0.stepz"),
        ("phases.7.steps", 1, "'7' is not one of the"),
        ("seed.x", 1, "inside a plain value"),
        ("seed", "many", "seed: input should be a valid integer"),
        ("phases.0.lr", -1, "phases.0.lr: input should be greater than 0"),
        ("decision.name", "oracle", "decision.name"),
        ("augment.noise_prob", 2, "augment.noise_prob"),
        ("data.split_seed", -1, "data.split_seed: input should be greater than or equal to 0"),
        ("decision.top_n", 1, "decision.top_n: input should be greater than or equal to 2"),
        ("decision.cohort", -1, "decision.cohort"),
        ("phases.0.mask.dims", 1, "phases.0.mask.dims: input should be less than 1"),
        ("phases.0.mask.share", 0, "phases.0.mask.share: input should be greater than 0"),
        ("phases.0.mask.width", 3, "phases.0.mask.width: extra inputs"),
    ],
)
def test_wrong_keys_and_values_are_named(key, value, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_recipe("kws-triplet", {key: value})


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(ConfigError, match="no recipe 'nothing'; shipped: "):
        load_recipe("nothing")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match=r"broken\.yaml: not a YAML recipe"):
        load_recipe(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="expected keys and values"):
        load_recipe(tmp_path / "list.yaml")


def test_a_recipe_of_one_s_own(tmp_path):
    values = yaml.safe_load(shipped()["kws-softmax"].read_text())
    values["recipe"] = "mine"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    assert load_recipe(tmp_path / "mine.yaml").recipe == "mine"


def test_a_malicious_recipe_runs_nothing(tmp_path):
    mark = tmp_path / "ran"
    attack = f"!!python/object/apply:os.system ['touch {mark}']"
    (tmp_path / "evil.yaml").write_text(f"recipe: {attack}\n")
    with pytest.raises(ConfigError, match=r"evil\.yaml: not a YAML recipe"):
        load_recipe(tmp_path / "evil.yaml")
    assert not mark.exists()


def test_overrides_are_not_changed():
    phases = [phase.model_dump() for phase in load_recipe("kws-triplet").phases[1:]]
    overrides = {"phases": phases, "phases.0.lr": 1.0}
    assert load_recipe("kws-triplet", overrides).phases[0].lr == 1
    assert overrides["phases"][0]["lr"] != 1


def test_a_fold_is_a_split_whatever_the_official_one(toy_corpus):
    from noisewise.corpora import open_corpus
    from noisewise.corpora.folds import with_fold

    corpus = open_corpus(toy_corpus).with_splits(9)
    changes = {"data.folds.by": "speaker", "data.folds.number": 4, "data.fold": 2}
    data = load_recipe("kws-softmax", changes).data
    assert data.fold == "2"
    split = data.split(corpus, 5)
    assert split.rows["split"][:] == with_fold(corpus, "2", "speaker", 4, 5).rows["split"][:]
    fixed = data.model_copy(update={"split_seed": 5})
    assert fixed.split(corpus, 8).rows["split"][:] == split.rows["split"][:]
    assert DataConfig().split(corpus, 5) is corpus
    with pytest.raises(ConfigError, match=r"data.fold '2' needs data.folds.by, a column"):
        DataConfig(fold="2").split(corpus, 0)
    for key, value in {"number": 1, "validation": 0, "by": 3, "size": 2}.items():
        with pytest.raises(ConfigError, match=rf"data\.folds\.{key}"):
            load_recipe("kws-softmax", {"data.folds.by": "speaker", f"data.folds.{key}": value})
