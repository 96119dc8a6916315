"""Small trainable parts inside a frozen network: LoRA and bottleneck adapters.

LoRA (Hu et al., arXiv 2106.09685) adds a product of two thin matrices to a linear layer;
bottleneck adapters (Houlsby et al., arXiv 1902.00751) add a small residual network after a
module's output, parallel ones (He et al., arXiv 2110.04366) one beside it. All begin as no change
at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError

ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")


class LoRALinear(nn.Module):
    """A frozen linear layer plus a trainable product of two thin ones.

    Args:
        linear: the layer; its parameters stop learning.
        rank: inner size.
        alpha: the product is multiplied by alpha / rank.
    """

    def __init__(self, linear: nn.Linear, rank: int = 8, alpha: float = 16.0) -> None:
        super().__init__()
        if rank < 1:
            raise ConfigError(f"rank must be at least 1, got {rank}")
        self.linear, self.scale = linear.requires_grad_(False), alpha / rank
        self.down = nn.Linear(linear.in_features, rank, bias=False)
        self.up = nn.Linear(rank, linear.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        out: Tensor = self.linear(x) + self.scale * self.up(self.down(x))
        return out


class Bottleneck(nn.Module):
    """x + up(relu(down(x))), which begins as x.

    Args:
        dim: size of x.
        size: inner size.
    """

    def __init__(self, dim: int, size: int = 256) -> None:
        super().__init__()
        if size < 1:
            raise ConfigError(f"the inner size must be at least 1, got {size}")
        self.down, self.up = nn.Linear(dim, size), nn.Linear(size, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        out: Tensor = x + self.up(torch.relu(self.down(x)))
        return out


class ParallelAdapter(nn.Module):
    """inner(x) + up(elu(down(x))), which begins as inner(x).

    Beside the feed-forward part of a block this is the adapter of the noise-adaptive warm-up
    (Interspeech 2024, 10.21437/Interspeech.2024-1630), whose weights begin at random.

    Args:
        inner: what the adapter stands beside.
        dim: size of x.
        size: inner size of the adapter.
    """

    def __init__(self, inner: nn.Module, dim: int, size: int = 64) -> None:
        super().__init__()
        if size < 1:
            raise ConfigError(f"the inner size must be at least 1, got {size}")
        self.inner = inner
        self.adapter = nn.Sequential(nn.Linear(dim, size), nn.ELU(), nn.Linear(size, dim))
        last: Any = self.adapter[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        out: Tensor = self.inner(x) + self.adapter(x)
        return out


def add_lora(
    network: nn.Module, targets: Sequence[str], rank: int = 8, alpha: float = 16.0
) -> list[str]:
    """Put `LoRALinear` in place of linear layers; everything else in the network is frozen.

    Args:
        network: changed in place.
        targets: last parts of the names of the layers, such as "q_proj" or "intermediate_dense".
        rank, alpha: see `LoRALinear`.

    Returns:
        Names of the layers that were replaced.

    Raises:
        ConfigError: a target that is no linear layer of this network, or an attention projection
            of WavLM, whose attention reads the weights and would pass the adapter by.
    """
    if _is_wavlm(network) and set(targets) & set(ATTENTION):
        raise ConfigError(
            f"LoRA on {', '.join(sorted(set(targets) & set(ATTENTION)))} has no effect in WavLM, "
            "whose attention reads the weights directly; use intermediate_dense, output_dense or "
            "bottleneck adapters"
        )
    modules = dict(network.named_modules())
    chosen = [name for name in modules if name.rpartition(".")[2] in targets]
    absent = set(targets) - {name.rpartition(".")[2] for name in chosen}
    wrong = [name for name in chosen if not isinstance(modules[name], nn.Linear)]
    if absent or wrong:
        names = ", ".join(sorted(absent) or wrong)
        raise ConfigError(f"LoRA targets must be linear layers of the network, not {names}")
    network.requires_grad_(False)
    for name in chosen:
        linear: Any = modules[name]
        _replace(network, name, LoRALinear(linear, rank, alpha))
    return chosen


def add_bottlenecks(network: nn.Module, dim: int, size: int = 256) -> list[str]:
    """Put a `Bottleneck` after the feed-forward part of every block; the rest is frozen.

    Returns:
        Names of the parts that were wrapped.

    Raises:
        ConfigError: the network has no blocks with a feed-forward part.
    """
    chosen = _feed_forward(network)
    network.requires_grad_(False)
    for name, part in chosen.items():
        _replace(network, name, nn.Sequential(part, Bottleneck(dim, size)))
    return list(chosen)


def add_parallel(network: nn.Module, dim: int, size: int = 64) -> list[str]:
    """Put a `ParallelAdapter` beside the feed-forward part of every block.

    Returns:
        Names of the parts that were wrapped.

    Raises:
        ConfigError: the network has no blocks with a feed-forward part.
    """
    chosen = _feed_forward(network)
    for name, part in chosen.items():
        _replace(network, name, ParallelAdapter(part, dim, size))
    return list(chosen)


def _feed_forward(network: nn.Module) -> dict[str, nn.Module]:
    """The feed-forward part of every block, by name."""
    chosen = {n: part for n, part in network.named_modules() if n.endswith(".feed_forward")}
    if not chosen:
        raise ConfigError("bottleneck adapters need blocks with a feed_forward part")
    return chosen


def _is_wavlm(network: nn.Module) -> bool:
    return any(type(module).__name__.startswith("WavLM") for module in network.modules())


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
