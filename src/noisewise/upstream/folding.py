"""Folding a Res encoder's batch norms into its convolutions, in bf16 or 8-bit integers.

A batch norm's scale goes into the weights of the convolution that follows. Its shift cannot go
into a bias, because that convolution pads with zeros *after* the norm; so it is carried by three
extra input maps that are constant inside the clip and, like every map, zero outside it.
Convolving those gives the shift exactly, at the borders too. Three, because one weight of few
bits is too coarse for it: each carries what the ones before it left over.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from noisewise.upstream.res import ResEncoder

_CONSTANTS = (255.0, 16.0, 1.0)  # of the three extra maps, in integer layers; 1 in the others
_INTEGER_LAYERS = range(7, 13)  # pairs of an odd layer and the even one after it
_RANGE_STD = 24.0


@dataclass
class Layer:
    """One convolution with everything around it folded in; ``integer`` layers also quantise."""

    weight: Tensor
    bias: Tensor
    dilation: int
    integer: bool = False
    weight_scale: Tensor | None = None
    quantise: Tensor | None = None  # (maps, 1, 1) factors on float input; None: it is quantised
    out: torch.dtype = torch.bfloat16

    def __call__(self, x: Tensor) -> Tensor:
        """ReLU of the convolution of ``x``."""
        around = [self.dilation] * 2
        if not self.integer:
            return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
                x, self.weight, self.bias, around, [1, 1], around, 1, "relu", [], ""
            )
        if self.quantise is not None:
            # Through int8 (value - 128) because torch converts to uint8 five times more slowly.
            x = x.float().mul_(self.quantise).sub_(128).clamp_(max=127).round_().to(torch.int8)
            x = x.view(torch.uint8).bitwise_xor_(128)
        zero_points = torch.zeros(len(self.bias), dtype=torch.int64)
        return torch.ops.onednn.qconv2d_pointwise(  # type: ignore[no-any-return]
            x, 1.0, 0, self.weight, self.weight_scale, zero_points, self.bias,
            [1, 1], around, around, 1, 1.0, 0, self.out, "relu", [], "",
        )  # fmt: skip


@dataclass
class Folded:
    """Layers to run in order, then (frames - shift) * scale for the last batch norm."""

    layers: list[Layer]
    shift: Tensor
    scale: Tensor


@torch.no_grad()
def fold(encoder: ResEncoder, integer: bool) -> Folded:
    """Layers that compute what ``encoder`` does in evaluation mode, at lower precision.

    Maps are padded to a multiple of 16, and the first layer takes the features as two maps, high
    and low part, so that bf16 loses nothing of them.

    Args:
        encoder: its weights are copied.
        integer: layers 7 to 12 of a Res15, whose values have light tails, on 8-bit integers; each
            value range is its running mean plus 24 standard deviations.
    """
    n = encoder.dim
    maps = -(-(n + len(_CONSTANTS)) // 16) * 16
    weight, bias = torch.zeros(maps, 2, 3, 3), torch.zeros(maps)
    weight[:n] = _kernel(encoder.convs[0])
    bias[n : n + 3] = 1
    layers = [_float_layer(weight, bias, 1)]
    mean, std = torch.zeros(n), torch.ones(n)
    for i, norm in enumerate(encoder.norms, start=1):
        after = _statistics(norm)
        kernel = _kernel(encoder.convs[i]) / std[:, None, None]
        dilation = int(encoder.convs[i].dilation[0])  # type: ignore[index, arg-type]
        # Odd layers hand the constant maps on; even ones get them from the residual sum.
        if integer and i in _INTEGER_LAYERS and len(encoder.norms) > _INTEGER_LAYERS[-1]:
            layer = _integer_layer(kernel, dilation, maps, mean, std, after if i % 2 else None)
        else:
            weight, bias = torch.zeros(maps, maps, 3, 3), torch.zeros(maps)
            weight[:n, :n] = kernel.bfloat16().float()
            rest = -(weight[:n, :n] * mean[:, None, None]).sum(1)
            for j in range(n, n + 3):
                weight[:n, j] = rest.bfloat16().float()
                rest = rest - weight[:n, j]
            bias[n : n + 3] = i % 2
            layer = _float_layer(weight, bias, dilation)
        layers.append(layer)
        mean, std = after
    return Folded(layers, mean, 1 / std)


def _float_layer(weight: Tensor, bias: Tensor, dilation: int) -> Layer:
    weight = weight.bfloat16().contiguous(memory_format=torch.channels_last)
    return Layer(weight, bias.bfloat16(), dilation)


def _integer_layer(
    kernel: Tensor,
    dilation: int,
    maps: int,
    mean: Tensor,
    std: Tensor,
    after: tuple[Tensor, Tensor] | None,
) -> Layer:
    """A layer on 8-bit input; 8-bit out too where ``after``, (mean, std) of the output, is given.

    A value is its integer times ``step``, a weight its integer times ``scale`` of its row.
    """
    n = len(mean)
    step = _step(mean, std)
    scaled = kernel * step[:, None, None]
    scale = scaled.abs().amax((1, 2, 3)).clamp(min=1e-12) / 127
    weight = torch.zeros(maps, maps, 3, 3)
    weight[:n, :n] = (scaled / scale[:, None, None, None]).round()
    rest = -(weight[:n, :n] * (mean / step)[:, None, None]).sum(1)
    for j, constant in enumerate(_CONSTANTS, start=n):
        weight[:n, j] = (rest / constant).round().clamp(-127, 127)
        rest = rest - constant * weight[:n, j]
    scales, bias, quantise = torch.ones(maps), torch.zeros(maps), torch.ones(maps)
    scales[:n], bias[:n] = scale, scale * rest.sum((1, 2))
    quantise[:n], quantise[n : n + 3] = 1 / step, torch.tensor(_CONSTANTS)
    if after is not None:
        out_step = _step(*after)
        scales[:n] /= out_step
        bias[:n] /= out_step
        bias[n : n + 3] = torch.tensor(_CONSTANTS)
    around = [dilation] * 2
    packed = torch.ops.onednn.qconv_prepack(
        weight.to(torch.int8), scales, 1.0, 0, [1, 1], around, around, 1, [1, maps, 64, 112]
    )
    return Layer(
        packed,
        bias,
        dilation,
        integer=True,
        weight_scale=scales,
        quantise=quantise[:, None, None] if after is not None else None,
        out=torch.uint8 if after is not None else torch.bfloat16,
    )


def _kernel(conv: nn.Module) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    return conv.weight


def _statistics(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Running mean and standard deviation of a batch norm, as it applies them."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean.clone(), (norm.running_var + norm.eps).sqrt()


def _step(mean: Tensor, std: Tensor) -> Tensor:
    return (mean + _RANGE_STD * std).clamp(min=1e-4) / 255
