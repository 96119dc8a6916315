"""Published speaker back ends: converted exactly, or refused by name."""

import pytest
import torch

from noisewise.backend.layer_statistics import LayerStatistics
from noisewise.backend.published import read_layer_statistics
from noisewise.errors import BundleError


def checkpoint(layers=3, dim=5, embedding=4):
    """As the authors write it: every name begins with that of their wrapper."""
    draw = torch.Generator().manual_seed(0)
    return {
        "module.w": torch.randn(layers, 1, 1, generator=draw),
        "module.fc1.weight": torch.randn(embedding, 2 * dim, generator=draw),
        "module.fc1.bias": torch.randn(embedding, generator=draw),
        **{f"module.bn1.{name}": torch.rand(embedding, generator=draw) + 0.5
           for name in ("weight", "bias", "running_mean", "running_var")},
        "module.bn1.num_batches_tracked": torch.tensor(7),
    }  # fmt: skip


@pytest.mark.parametrize("wrapped", [True, False])
def test_is_read_tensor_by_tensor(tmp_path, wrapped):
    theirs = checkpoint()
    if not wrapped:
        theirs = {name.removeprefix("module."): tensor for name, tensor in theirs.items()}
    torch.save(theirs, tmp_path / "a.pt")
    options, state = read_layer_statistics(tmp_path / "a.pt")
    assert options == {"dim": 5, "layers": 3, "mix": "raw", "embedding": 4}
    LayerStatistics(**options).load_state_dict(state, strict=True)
    theirs = list(theirs.values())
    assert torch.equal(state["mix"], theirs[0].flatten())
    assert torch.equal(state["projection.weight"], theirs[1])
    assert torch.equal(state["norm.running_var"], theirs[6])
    assert state["norm.num_batches_tracked"] == 7


BROKEN = {
    "not a classifier of the warm-up": lambda s: s.pop("module.w"),
    r"expected w \(layers, 1, 1\)": lambda s: s.update({"module.w": torch.tensor(1.0)}),
    "fc1.weight": lambda s: s.update({"module.fc1.weight": torch.ones(4)}),
    r"fc1.weight is .*\(4, 9\), expected .*\(4, 8\)": lambda s: s.update(
        {"module.fc1.weight": torch.ones(4, 9)}
    ),
    "bn1.bias is missing": lambda s: s.pop("module.bn1.bias"),
    "unexpected tensors: more": lambda s: s.update({"module.more": torch.ones(1)}),
}


@pytest.mark.parametrize("message", BROKEN)
def test_anything_else_is_refused_by_name(tmp_path, message):
    state = checkpoint()
    BROKEN[message](state)
    torch.save(state, tmp_path / "broken.pt")
    with pytest.raises(BundleError, match=f"broken.pt: .*{message}"):
        read_layer_statistics(tmp_path / "broken.pt")


PUBLISHED = {
    1: ([4.239404, -3.202033, 6.813544, -4.176327, 7.225287], [83.1636, 50.3177]),
    2: ([6.317831, -1.184610, -5.932468, -3.980417, -16.484890], [73.4300, 44.6618]),
}
"""VoxCeleb version -> first values of the first clip and both clips' norms: the authors' weights
in their code (doi 10.21437/Interspeech.2024-1630)."""


@pytest.mark.parametrize("version", PUBLISHED)
@torch.no_grad()
def test_published_weights_give_the_published_embeddings(shared_data, sine_states, version):
    file = shared_data / "published_weights" / f"nawsv_vox{version}_classifier.pt"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    options, state = read_layer_statistics(file)
    assert options == {"dim": 768, "layers": 13, "mix": "raw", "embedding": 192}
    backend = LayerStatistics(**options).eval()
    backend.load_state_dict(state)
    out = backend.unnormalised(sine_states(149))
    first, norms = PUBLISHED[version]
    torch.testing.assert_close(out[0, :5], torch.tensor(first), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.norm(dim=1), torch.tensor(norms), atol=1e-3, rtol=0)
