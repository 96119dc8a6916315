"""Published checkpoints: converted exactly, or refused by name."""

import pytest
import torch

from noisewise.errors import BundleError
from noisewise.upstream.published import read_triplet_kws
from noisewise.upstream.res import Res8, Res15


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("zipped", [True, False])  # the authors' files are not
def test_res15_is_read_tensor_by_tensor(published_res, tmp_path, zipped):
    theirs = published_res()
    file = saved(tmp_path / "a.pt", theirs, _use_new_zipfile_serialization=zipped)
    options, state = read_triplet_kws(file)
    assert options == {"name": "res15", "maps": 4}
    Res15(maps=4).load_state_dict(state, strict=True)
    assert torch.equal(state["convs.13.weight"], theirs["conv13.weight"])
    assert torch.equal(state["norms.0.running_mean"], theirs["bn1.running_mean"])
    assert state["norms.12.num_batches_tracked"] == 7


def test_res8_kernels_become_mel_by_time(published_res, tmp_path):
    theirs = published_res(layers=6)
    options, state = read_triplet_kws(str(saved(tmp_path / "a.pt", theirs)))
    assert options == {"name": "res8", "maps": 4}
    Res8(maps=4).load_state_dict(state, strict=True)
    assert torch.equal(state["convs.2.weight"], theirs["conv2.weight"].transpose(2, 3))


def test_the_published_files_convert(shared_data):
    for words in (12, 35):
        options, state = read_triplet_kws(shared_data / f"published_weights/res15_{words}.pt")
        assert options == {"name": "res15", "maps": 45}
        assert len(state) == 53


BROKEN = {
    "is missing": lambda s: s.pop("bn3.running_var"),
    "unexpected tensors: head": lambda s: s.update(head=torch.zeros(1)),
    r"conv5.weight is .*\(4, 4, 3, 2\), expected .*\(4, 4, 3, 3\)": lambda s: s.update(
        {"conv5.weight": torch.zeros(4, 4, 3, 2)}
    ),
    "bn2.running_mean is torch.int64": lambda s: s.update(
        {"bn2.running_mean": torch.zeros(4, dtype=torch.int64)}
    ),
    "conv1.weight holds values": lambda s: s["conv1.weight"].fill_(float("nan")),
    "bn1.running_var holds values": lambda s: s["bn1.running_var"].fill_(-1),
    "not a Res8 or Res15": lambda s: s.pop("conv9.weight"),
    "7 or 14 convolutions": lambda s: s.update({"conv0.weight": torch.zeros(3)}),
    "expected a dictionary of named tensors": lambda s: s.update(epoch=3),
}


@pytest.mark.parametrize("message", BROKEN)
def test_anything_else_is_refused_by_name(published_res, tmp_path, message):
    state = published_res()
    BROKEN[message](state)
    file = saved(tmp_path / "broken.pt", state)
    with pytest.raises(BundleError, match=message) as caught:
        read_triplet_kws(file)
    assert str(file) in str(caught.value)
