"""What tests of back ends share: the inputs that published values were computed from."""

from collections.abc import Callable

import pytest
import torch

from noisewise.types import Frames


@pytest.fixture(scope="session")
def sine_states() -> Callable[[int], Frames]:
    """``sine_states(n)``: two clips of n frames of 13 layers of 768 values, all sines."""

    def make(n: int) -> Frames:
        layer, clip, frame, place = (
            torch.arange(size, dtype=torch.float64).view([-1] + [1] * axes)
            for size, axes in ((13, 3), (2, 2), (n, 1), (768, 0))
        )
        phase = 0.01 * (clip + 1) * (layer + 1) * (frame + 1) + 0.001 * place
        return Frames(torch.sin(phase).float(), torch.tensor([n, n]))

    return make
