"""A trained model's decision: of training clips, its threshold set on validation clips."""

import numpy as np
import pytest
import torch

from noisewise.backend.layer_statistics import LayerStatistics
from noisewise.bundle import build_model
from noisewise.corpora.base import label_numbers
from noisewise.decision.fit import fit_decision
from noisewise.decision.verification import Verification
from noisewise.embedding import embed_rows
from noisewise.metrics.detection import false_accept
from noisewise.metrics.score_norm import cohort_means
from noisewise.model import SpeechModel
from noisewise.recipe import load_recipe
from noisewise.training import decide as module
from noisewise.training.augment import Augmenter
from noisewise.training.decide import decide
from noisewise.training.run import make_selector, open_parts, open_sources


def parts_of(recipe):
    _, parts = open_parts(recipe, lambda line: None)
    augmenter = Augmenter(recipe.augment, *open_sources(recipe.augment, parts.train), 0)
    return parts, augmenter, make_selector(recipe, parts, augmenter.corruptor.noises, 0)


def decided(recipe, model):
    parts, augmenter, selector = parts_of(recipe)
    given = parts.labels, parts.train, parts.validation, augmenter, selector
    return decide(recipe, model.eval(), *given, 0), parts, augmenter, selector


@pytest.mark.parametrize("name", ["knn", "prototypes", "head"])
@pytest.mark.parametrize("copies", [0, 2])
def test_a_rule_of_labels_is_fitted_and_calibrated(toy_settings, name, copies):
    changes = {"decision.name": name, "decision.k": 3, "decision.noisy_copies": copies}
    recipe = load_recipe("kws-softmax", toy_settings | changes)
    torch.manual_seed(0)
    model = build_model(recipe.model, 3)
    rule, parts, augmenter, _ = decided(recipe, model)
    vectors = [embed_rows(model, parts.train).vectors]
    for number in range(copies):

        def noisy(clip, clip_id, speaker, number=number):
            return augmenter(clip, speaker, "reference", number, clip_id)[0]

        vectors.append(embed_rows(model, parts.train, change=noisy).vectors)
    classes = label_numbers(parts.train, "keyword", parts.labels)
    expected = fit_decision(
        name,
        parts.labels,
        np.concatenate(vectors),
        np.tile(classes, copies + 1),
        k=3,
        head=model.heads["label"],
    )
    held_out = embed_rows(model, parts.validation)
    truth = label_numbers(parts.validation, "keyword", parts.labels)
    expected.calibrate(held_out.vectors, truth, recipe.decision.false_accept_rate)
    assert (rule.name, rule.target_far) == (name, recipe.decision.false_accept_rate)
    assert rule.threshold == expected.threshold
    for key, value in expected.state().items():
        assert np.array_equal(rule.state()[key], value)


@pytest.fixture(scope="module")
def model(small_upstream):
    torch.manual_seed(0)
    return SpeechModel(small_upstream(), LayerStatistics(24, 4, embedding=8)).eval()


def recipe_with(speaker_settings, **changes):
    options = {f"decision.{key}": value for key, value in changes.items()}
    return load_recipe("sv-naw", speaker_settings | options)


@pytest.fixture
def small_cohorts(monkeypatch):
    """The toy corpus has ten training speakers, below what a cohort is made of."""
    monkeypatch.setattr(module, "MIN_COHORT", 3)


@pytest.mark.usefixtures("small_cohorts")
@pytest.mark.parametrize(("cohort", "k"), [(5, 2), (1000, 100), (3, 1)])
def test_the_cohort_is_drawn_training_speakers(speaker_settings, model, cohort, k):
    rule, parts, *_ = decided(recipe_with(speaker_settings, cohort=cohort, k=k, top_n=4), model)
    assert isinstance(rule, Verification)
    speakers = np.array(parts.train["speaker"][:])
    assert rule.cohort.shape == (min(cohort, len(set(speakers))), 8)
    np.testing.assert_allclose(np.linalg.norm(rule.cohort, axis=1), 1, rtol=1e-5)
    vectors = embed_rows(model, parts.train).vectors
    means = cohort_means(vectors, speakers)
    if k == 100:  # all clips of all speakers
        np.testing.assert_allclose(rule.cohort, means, atol=1e-6)
    else:  # each is near the mean of one speaker, and of another one each
        nearest = (rule.cohort @ means.T).argmax(1)
        assert len(set(nearest.tolist())) >= cohort - 1
    assert rule.top_n == 4
    again, *_ = decided(recipe_with(speaker_settings, cohort=cohort, k=k, top_n=4), model)
    assert np.array_equal(again.cohort, rule.cohort)


@pytest.mark.usefixtures("small_cohorts")
def test_the_threshold_is_that_of_validation_trials_in_all_conditions(speaker_settings, model):
    recipe = recipe_with(speaker_settings, false_accept_rate=0.1, top_n=5)
    rule, _, _, selector = decided(recipe, model)
    parts = [p.trials.split(rule.raw(p.trials, p.vectors)) for p in selector.embedded(model)]
    assert len(parts) == 2  # clean, and at 5 dB
    targets, impostors = (np.concatenate(side) for side in zip(*parts, strict=True))
    ratios = rule.calibration.llr(impostors)
    assert false_accept(ratios, rule.threshold) <= 0.1
    assert false_accept(ratios, np.nextafter(rule.threshold, -np.inf)) > 0.1
    expected = Verification.of(8, rule.cohort, 5)
    expected.calibrate_on(targets, impostors, 0.1)
    assert rule.calibration == expected.calibration
    assert rule.target_far == 0.1
    assert rule.labels == []


def test_few_speakers_or_none_asked_for_are_no_cohort(speaker_settings, model, monkeypatch):
    assert not len(decided(recipe_with(speaker_settings, cohort=1000), model)[0].cohort)
    monkeypatch.setattr(module, "MIN_COHORT", 3)
    assert not len(decided(recipe_with(speaker_settings, cohort=0), model)[0].cohort)
    assert not len(decided(recipe_with(speaker_settings, cohort=2), model)[0].cohort)
    assert len(decided(recipe_with(speaker_settings, cohort=1000), model)[0].cohort)
