"""Units of every teacher are kept in its folder, and are those of the layer that it names."""

import pytest
import torch

from noisewise.components import build
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.errors import BundleError, ConfigError
from noisewise.training.teachers import CepstralUnits, ModelUnits, OwnUnits
from noisewise.types import Waves
from noisewise.upstream.cepstra import CepstralUpstream
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream

UNITS = 6
TEACHERS = ("cepstral_units", "own_units", "model_units")


@pytest.fixture(scope="module")
def rows(toy_corpus):
    return open_corpus(toy_corpus).rows.select(range(0, 120, 15))


@pytest.fixture(scope="module")
def waves(toy_corpus):
    chosen = open_corpus(toy_corpus).rows.select([1, 50, 100])
    clips = [read_row(row) for row in chosen]
    return Waves.collate([clip[: 8000 - 1500 * i] for i, clip in enumerate(clips)])


@pytest.fixture
def teacher(hub_folder):
    """``teacher(name)``: one of few units, from a recipe's plain values."""

    def make(name):
        options = {
            "cepstral_units": lambda: {},
            "own_units": lambda: {"layer": 2},
            "model_units": lambda: {"model": str(hub_folder("hubert-large")), "layer": 1},
        }
        return build("teacher", {"name": name, "units": UNITS, **options[name]()})

    return make


@torch.no_grad()
def answer(module, waves):
    return module.eval()(waves)


def nearest(values, module):
    return torch.cdist(values, module.units.centroids[None]).argmin(2)


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_is_the_same_when_opened_again(
    name, teacher, small_upstream, rows, waves, tmp_path
):
    maker, student = teacher(name), small_upstream()
    first = answer(maker.open(student, rows, tmp_path / "t", seed=0), waves)
    assert first.codes.shape == (3, first.values.shape[2], 1)
    assert torch.equal(first.lengths, student.field.frame_counts(waves.lengths)) or (
        name == "model_units"  # of other convolutions
    )
    assert 2 < len(first.codes.unique()) <= UNITS
    assert not (first.codes[..., 0] * ~first.mask()).any()
    # other rows and another seed would give other units
    again = answer(maker.open(student, rows.select([0]), tmp_path / "t", seed=1), waves)
    assert torch.equal(again.codes, first.codes)
    assert torch.equal(again.values, first.values)
    fresh = answer(maker.open(student, rows, tmp_path / "other", seed=0), waves)
    assert torch.equal(fresh.codes, first.codes)


def test_cepstral_units_are_of_cepstra_in_step_with_the_student(
    small_upstream, rows, waves, tmp_path
):
    student = small_upstream()
    made = CepstralUnits(UNITS).open(student, rows, tmp_path, 0)
    cepstra = CepstralUpstream(student.field.kernels, student.field.strides)(waves)
    frames = answer(made, waves)
    own = cepstra.mask()
    assert torch.equal(frames.codes[..., 0][own], nearest(cepstra.values[0], made)[own])
    assert torch.equal(frames.lengths, answer(student, waves).lengths)


def test_own_units_keep_the_student_as_it_was(small_upstream, rows, waves, tmp_path):
    student = small_upstream()
    maker = OwnUnits(layer=2, units=UNITS)
    before = answer(student, waves)
    made = maker.open(student, rows, tmp_path, 0)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(-1.5).add_(0.3)
    assert not torch.allclose(answer(student, waves).values, before.values, atol=0.1)
    for module in (made, maker.open(student, rows, tmp_path, 0)):
        frames = answer(module, waves)
        assert torch.allclose(frames.values[0], before.values[2], atol=1e-5)
        own = before.mask()
        assert torch.equal(frames.codes[..., 0][own], nearest(frames.values[0], module)[own])


def test_own_units_of_a_student_that_has_codes_are_still_k_means(
    small_upstream, rows, waves, tmp_path
):
    student = small_upstream(units={"1": 3})
    made = OwnUnits(layer=1, units=UNITS).open(student, rows, tmp_path, 0)
    assert made.code_sizes == (UNITS,)
    assert int(answer(made, waves).codes.max()) > 2


@pytest.mark.parametrize("layers", [None, [0], [3, 1], [2]])
def test_model_units_give_the_layers_and_cluster_one(
    layers, hub_folder, small_upstream, rows, waves, tmp_path
):
    folder = hub_folder("hubert-large")
    maker = ModelUnits(str(folder), layer=2, units=UNITS, layers=layers)
    made = maker.open(small_upstream(), rows, tmp_path / "t", 0)
    frames = answer(made, waves)
    full = answer(SelfSupervisedUpstream(str(folder), mean=False), waves)
    wanted = sorted({2, *(layers or [])})
    torch.testing.assert_close(frames.values, full.values[wanted], rtol=0, atol=1e-5)
    own, clustered = full.mask(), frames.values[wanted.index(2)]
    assert torch.equal(frames.codes[..., 0][own], nearest(clustered, made)[own])
    assert maker.size == len(wanted) * full.values.shape[3]


def test_a_model_of_another_frame_rate_is_refused(hub_folder, small_upstream, rows, tmp_path):
    folder = hub_folder("hubert-large", conv_stride=[5, 2, 2, 2, 2, 2, 1])
    with pytest.raises(ConfigError, match="every 160 samples, the student has one every 320"):
        ModelUnits(str(folder), 1, UNITS).open(small_upstream(), rows, tmp_path / "t", 0)
    assert not (tmp_path / "t").exists()


def test_refusals(small_upstream, rows, tmp_path):
    student = small_upstream()
    with pytest.raises(ConfigError, match=r"layers \[4\] must be some of 0 to 3"):
        OwnUnits(4, UNITS).open(student, rows, tmp_path / "own", 0)
    with pytest.raises(ConfigError, match="at least as many frames"):
        CepstralUnits(100_000).open(student, rows, tmp_path / "many", 0)
    CepstralUnits(UNITS).open(student, rows, tmp_path / "few", 0)
    with pytest.raises(BundleError, match="not 7 units of this model"):
        CepstralUnits(7).open(student, rows, tmp_path / "few", 0)
    with pytest.raises(ConfigError, match="has no option 'layers'"):
        build("teacher", {"name": "own_units", "layer": 1, "layers": [1]})
