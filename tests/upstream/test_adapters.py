"""Adapters begin as no change, then they alone learn, and never without effect."""

import pytest
import torch

from noisewise.errors import ConfigError
from noisewise.seeding import torch_rng
from noisewise.types import Waves
from noisewise.upstream.adapters import ParallelAdapter, add_bottlenecks, add_lora, add_parallel
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream

ALL = ("wav2vec2-base", "hubert-large", "wavlm-base", "data2vec-audio")
FAMILIES = ("wav2vec2-base", "xls-r", "hubert-base", "hubert-large", "wavlm-base", "wavlm-large",
            "data2vec-audio")  # fmt: skip


def sound():
    return Waves(torch.randn(2, 4000, generator=torch.Generator().manual_seed(0)),
                 torch.tensor([4000, 3000]))  # fmt: skip


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["attention", "feed-forward", "bottleneck"])
def test_no_change_at_first_then_only_adapters_learn_and_matter(name, kind, hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder(name))).eval()
    before = upstream(sound()).values
    if kind == "attention" and name.startswith("wavlm"):
        with pytest.raises(ConfigError, match="q_proj, v_proj has no effect in WavLM"):
            add_lora(upstream.network, ["q_proj", "v_proj"])
        return
    if kind == "bottleneck":
        made = add_bottlenecks(upstream.network, upstream.dim, 8)
    else:
        targets = {"attention": ["q_proj", "v_proj"], "feed-forward": ["intermediate_dense"]}
        made = add_lora(upstream.network, targets[kind], rank=2)
    assert len(made) == 3 * (2 if kind == "attention" else 1)
    torch.testing.assert_close(upstream.eval()(sound()).values, before)
    learning = [p for p in upstream.network.parameters() if p.requires_grad]
    assert (
        0
        < sum(p.numel() for p in learning)
        < 0.3 * sum(p.numel() for p in upstream.network.parameters())
    )
    optimizer = torch.optim.SGD(learning, 0.5)
    for _ in range(2):
        optimizer.zero_grad()
        upstream(sound()).values.square().mean().backward()
        optimizer.step()
    assert (upstream(sound()).values - before).abs().max() > 1e-4


@pytest.mark.parametrize("name", FAMILIES)
def test_parallel_adapters_begin_as_no_change_and_learn(name, hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder(name))).eval()
    before = upstream(sound()).values
    made = add_parallel(upstream.network, upstream.dim, 8)
    assert made == [f"encoder.layers.{n}.feed_forward" for n in range(3)]
    assert torch.equal(upstream.eval()(sound()).values, before)
    assert all(p.requires_grad for p in upstream.network.parameters())  # the recipe says who learns
    adapters = [p for n, p in upstream.network.named_parameters() if ".adapter." in n]
    optimizer = torch.optim.SGD(adapters, 0.5)
    for _ in range(2):
        optimizer.zero_grad()
        upstream(sound()).values.square().mean().backward()
        optimizer.step()
    assert all(p.grad.any() for p in adapters)
    assert (upstream(sound()).values - before).abs().max() > 1e-4


def test_a_parallel_adapter_hears_what_the_inner_part_hears():
    inner = torch.nn.Linear(6, 6)
    adapter = ParallelAdapter(inner, 6, 3)
    down, up = adapter.adapter[0], adapter.adapter[2]
    for parameter in (up.weight, up.bias):
        torch.nn.init.normal_(parameter, generator=torch_rng(0))
    x = torch.randn(2, 5, 6, generator=torch_rng(1))
    h = down(x)
    elu = torch.where(h > 0, h, h.exp() - 1)
    torch.testing.assert_close(adapter(x), inner(x) + up(elu))


def test_the_published_adapters_have_their_size():
    """99,136 parameters a layer: 768 to 64 and back, with biases."""
    adapter = ParallelAdapter(torch.nn.Identity(), 768, 64)
    assert sum(p.numel() for p in adapter.parameters()) == 99_136


def test_refusals(hub_folder):
    network = SelfSupervisedUpstream(str(hub_folder("wav2vec2-base"))).network
    for target in ("nothing", "attention"):
        with pytest.raises(ConfigError, match="must be linear layers"):
            add_lora(network, [target])
    with pytest.raises(ConfigError, match="rank must be at least 1"):
        add_lora(network, ["q_proj"], rank=0)
    with pytest.raises(ConfigError, match="inner size must be at least 1"):
        add_bottlenecks(network, 24, 0)
    with pytest.raises(ConfigError, match="feed_forward"):
        add_bottlenecks(torch.nn.Linear(2, 2), 2)
    with pytest.raises(ConfigError, match="inner size must be at least 1, got 0"):
        add_parallel(network, 24, 0)
    with pytest.raises(ConfigError, match="feed_forward"):
        add_parallel(torch.nn.Linear(2, 2), 2)
