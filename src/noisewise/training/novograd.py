"""NovoGrad (arXiv 1905.11286): layer-wise second moments, decoupled weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class NovoGrad(Optimizer):
    """Stochastic gradients normalised layer by layer.

    For each tensor v <- b2 v + (1 - b2) ||g||^2, m <- b1 m + g / (sqrt(v) + eps) + wd w and
    w <- w - lr m.

    The first step sets v to ||g||^2, as the reference implementation does; moments are not bias
    corrected and gradients not averaged into m.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay of the first and of the second moment.
        eps: added to the root of the second moment.
        weight_decay: strength of the decay, applied to the direction.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.98, 0.5),
        eps: float = 1e-8,
        weight_decay: float = 1e-3,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state, gradient = self.state[parameter], parameter.grad
                norm = gradient.square().sum()
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = norm
                else:
                    state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * norm
                direction = gradient / (state["exp_avg_sq"].sqrt() + group["eps"])
                direction = direction + group["weight_decay"] * parameter
                state["exp_avg"] = beta1 * state["exp_avg"] + direction
                parameter.sub_(group["lr"] * state["exp_avg"])
        return loss


def learning_rate(step: int, steps: int, peak: float, end: float, warmup: float) -> float:
    """Linear warm-up over a share ``warmup`` of the steps, then a cosine from peak to end.

    >>> [round(learning_rate(s, 10, 1.0, 0.0, 0.2), 2) for s in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.04]
    """
    rising = round(steps * warmup)
    if step < rising:
        return peak * (step + 1) / rising
    place = torch.tensor((step - rising) / max(1, steps - rising), dtype=torch.float64)
    return float(end + (peak - end) * (1 + torch.cos(torch.pi * place)) / 2)
