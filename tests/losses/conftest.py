"""What tests of losses share: the inputs that published values were computed from."""

from collections.abc import Callable

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def sines() -> Callable[..., torch.Tensor]:
    """``sines(shape, frequency, phase)``: sine of frequency x flat index + phase."""

    def make(shape: tuple[int, ...], frequency: float, phase: float = 0.0) -> torch.Tensor:
        index = torch.arange(int(np.prod(shape)), dtype=torch.float64)
        return torch.sin(frequency * index + phase).view(shape).float()

    return make
