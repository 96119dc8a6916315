"""What a phase trains: its terms, by name, and the parameters that learn."""

import pytest
import torch

from noisewise.bundle import build_model
from noisewise.errors import ConfigError
from noisewise.model import SpeechModel
from noisewise.recipe import ModelConfig, load_recipe, shipped
from noisewise.training.phases import columns_of, freeze_statistics, phase_terms, trainable
from noisewise.training.run import add_objectives
from noisewise.training.speaker_terms import MarginSoftmaxTerm

SPEAKERS = [name for name in shipped() if name.startswith("sv-")]


@pytest.fixture
def model(toy_settings):
    torch.manual_seed(0)
    return build_model(load_recipe("kws-softmax", toy_settings).model, 3)


@pytest.fixture
def adapted(small_upstream):
    """An upstream with adapters, a back end and an objective's module."""
    upstream = small_upstream(adapter_size=3)
    model = SpeechModel(upstream, torch.nn.Linear(24, 2))
    model.objectives["adapters-1"] = torch.nn.Linear(2, 2)
    return model


def learning(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_trainable_picks_by_the_start_of_names(model):
    names = dict(model.named_parameters())
    assert len(trainable(model, ["all"])) == len(names)
    heads = trainable(model, ["heads"])
    assert learning(model) == {n for n in names if "heads" in n}
    assert {id(p) for p in heads} == {id(p) for n, p in names.items() if "heads" in n}
    both = trainable(model, ["heads.label.linear", "upstream"])
    assert len(both) == 2 + sum(n.startswith("upstream") for n in names)
    assert not names["heads.label.activation.weight"].requires_grad
    assert len(trainable(model, ["heads", "all"])) == len(names)
    with pytest.raises(ConfigError, match="train: no parameter starts with 'decoder'"):
        trainable(model, ["heads", "decoder"])


def test_a_star_stands_for_anything(adapted):
    names = [name for name, _ in adapted.named_parameters()]
    found = trainable(adapted, ["upstream.network*adapter"])
    assert learning(adapted) == {name for name in names if ".adapter." in name}
    assert len(found) == 3 * 4
    trainable(adapted, ["upstream*adapter.2", "objectives"])
    assert learning(adapted) == {
        name for name in names if ".adapter.2." in name or name.startswith("objectives")
    }
    trainable(adapted, ["upstream*.network.encoder.layers.0"])  # for nothing too
    assert learning(adapted) == {n for n in names if ".encoder.layers.0." in n}
    with pytest.raises(ConfigError, match=r"no parameter starts with 'upstream\*lora'"):
        trainable(adapted, ["upstream*lora"])


def test_a_pattern_fits_from_the_first_letter_on(adapted):
    with pytest.raises(ConfigError, match="starts with 'network'"):
        trainable(adapted, ["network"])
    with pytest.raises(ConfigError, match="starts with 'Upstream'"):
        trainable(adapted, ["Upstream"])
    assert len(trainable(adapted, ["*adapter"])) == 12 + 2  # those of the objective adapters-1


@pytest.mark.parametrize(
    ("patterns", "training"),
    [
        (["all"], {"upstream", "backend", "heads", "objectives"}),
        (["heads"], {"heads"}),
        (["heads.label.linear"], {"heads"}),
        (["up"], {"upstream"}),
        (["upstream.encoder", "heads"], {"upstream", "heads"}),
        (["upstream*conv"], {"upstream"}),
    ],
)
def test_frozen_stages_are_in_evaluation_mode(model, patterns, training):
    model.train()
    freeze_statistics(model, patterns)
    assert {n for n, c in model.named_children() if c.training} == training
    frozen = [c for n, c in model.named_children() if n not in training]
    assert not any(module.training for child in frozen for module in child.modules())
    trainable(model, patterns)
    assert {name.split(".")[0] for name in learning(model)} <= training


def test_objectives_are_a_stage_like_the_others(adapted):
    for patterns, training in (
        (["upstream.network*adapter", "objectives"], {"upstream", "objectives"}),
        (["upstream.network"], {"upstream"}),
        (["*adapter"], {"upstream", "backend", "heads", "objectives"}),  # it could be any
    ):
        adapted.train()
        freeze_statistics(adapted, patterns)
        assert {n for n, c in adapted.named_children() if c.training} == training


def test_terms_know_classes_and_counts_and_are_named_after_phase_and_place():
    recipe = load_recipe("sv-naw")
    names, counts = ["ann", "ben"], [3, 1]
    found = [phase_terms(phase, names, counts) for phase in recipe.phases]
    assert [[term.head for term in terms] for terms in found] == [
        ["adapters-0", "pairs"], ["all-0", "pairs"],
        ["frozen-0"], ["unfrozen-0"], ["margin-0"],
    ]  # fmt: skip
    assert [term.weight for term in found[0]] == [1.0, 0.1]
    for (term,) in found[2:]:
        assert isinstance(term, MarginSoftmaxTerm)
        assert term.class_weights.tolist() == pytest.approx([4 / 3, 4])
    open_classes = {"name": "triplet", "open_classes": ["ben"]}
    phase = recipe.phases[0].model_copy(update={"objective": [open_classes]})
    assert phase_terms(phase, names)[0].open == [1]


def test_phases_share_what_a_term_adds_by_its_name(small_upstream):
    recipe = load_recipe("sv-naw")
    model = SpeechModel(small_upstream(), torch.nn.Identity())
    add_objectives(model, recipe, ["ann", "ben"])
    assert list(model.objectives) == ["pairs"]
    own = recipe.model_copy(deep=True)
    for phase in own.phases[:2]:
        del phase.objective[1]["shared"]
    model.objectives.clear()
    add_objectives(model, own, ["ann", "ben"])
    assert list(model.objectives) == ["adapters-1", "all-1"]
    recipe.phases[1].objective[1]["backend"] = {"name": "layer_statistics", "embedding": 7}
    model.objectives.clear()
    with pytest.raises(ConfigError, match="phase 'all': its 'pairs' is not shaped like the earl"):
        add_objectives(model, recipe, ["ann", "ben"])


@pytest.mark.parametrize("name", SPEAKERS)
def test_every_pattern_of_the_shipped_speaker_recipes_fits(name):
    recipe = load_recipe(name)
    labels = ["ann", "ben", "cem", "dan", "eva", "fay"]
    model = build_model(recipe.model, len(labels))
    add_objectives(model, recipe, labels)
    for phase in recipe.phases:
        trainable(model, phase.train)
        parts = {name.split(".")[0] for name in learning(model)}
        assert parts == {pattern.split(".")[0] for pattern in phase.train}
        adapters = [n for n in learning(model) if n.startswith("upstream")]
        if phase.name == "adapters":
            assert adapters
            assert all(".adapter." in n for n in adapters)


def test_a_model_for_hub_weights_has_the_same_names(hub_folder):
    """So that recipes train any model of the hub."""
    recipe = load_recipe("sv-naw")
    for folder in ("wavlm-base", "hubert-large", "wav2vec2-base", "data2vec-audio"):
        upstream = {**recipe.model.upstream, "model": str(hub_folder(folder))}
        config = ModelConfig(upstream=upstream, backend={"name": "layer_statistics"})
        model = build_model(config, 3)
        model.objectives["adapters-1"] = torch.nn.Linear(2, 2)
        backend = len(list(model.backend.parameters()))
        assert len(trainable(model, recipe.phases[0].train)) == 3 * 4 + 2 + backend
        assert trainable(model, recipe.phases[1].train)


def test_terms_of_weight_zero_are_left_out_and_the_others_keep_their_names():
    phase = load_recipe("kws-softmax").phases[0]
    terms = [{"name": "ctc", "weight": 0}, {"name": "cross_entropy"}, {"name": "ctc"}]
    terms.append({"name": "speaker", "weight": 0.0})
    found = phase_terms(phase.model_copy(update={"objective": terms}))
    assert [type(term).__name__ for term in found] == ["CrossEntropyTerm", "CTCTerm"]
    assert [term.head for term in found] == ["classifier-1", "classifier-2"]
    with pytest.raises(ConfigError, match="'classifier': all terms of its objective have weight 0"):
        phase_terms(phase.model_copy(update={"objective": [terms[0], terms[3]]}))
    wrong = [{"name": "ctc", "weight": 0, "wait": 1}, {"name": "cross_entropy"}]
    with pytest.raises(ConfigError, match="has no option 'wait'"):
        phase_terms(phase.model_copy(update={"objective": wrong}))


def test_columns_are_those_that_any_term_asks_for():
    phase = load_recipe("kws-softmax").phases[0]
    terms = [{"name": "cross_entropy"}, {"name": "speaker"}, {"name": "ctc"}, {"name": "ctc"}]
    made = phase_terms(phase.model_copy(update={"objective": terms}))
    assert columns_of(made) == (["speaker", "text"], ["text"])
    assert columns_of(made[:1]) == ([], [])
