"""What hidden frames hold is not heard."""

import numpy as np
import pytest
import torch
from torch import nn

from noisewise.errors import ConfigError
from noisewise.masked_model import MaskedModel
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.hiding import Hidden, draw_mask


def waves(*samples):
    return Waves.collate(
        [(0.1 * rng(i, n).standard_normal(n)).astype(np.float32) for i, n in enumerate(samples)]
    )


def test_hidden_and_visible_part_a_clips_own_frames(small_upstream):
    model = MaskedModel(small_upstream(), {"a": nn.Linear(24, 5)})
    batch = waves(6000, 9000, 200)
    counts = model.upstream.field.frame_counts(batch.lengths)
    hidden = draw_mask(counts.tolist(), 0.5, 3, 0, [(n, "clip") for n in range(3)])
    hidden[:, -1] = True  # also where a clip has no frame
    output = model(batch, hidden)
    own = output.frames.mask()
    assert torch.equal(output.frames.lengths, counts)
    assert torch.equal(output.hidden, hidden & own)
    assert torch.equal(output.hidden | output.visible, own)
    assert not (output.hidden & output.visible).any()
    assert torch.equal(output.frames.values, model.upstream.padded(batch, Hidden(hidden)).values)
    assert output.heads["a"] is model.heads["a"]


def test_what_is_hidden_is_not_heard(small_upstream):
    """Samples that no visible frame sees can be anything."""
    model = MaskedModel(small_upstream(normalise=False), {})
    field, batch = model.upstream.field, waves(16000)
    count = int(field.frame_counts(batch.lengths))
    hidden = torch.zeros(1, count, dtype=torch.bool)
    hidden[:, 10:20] = True
    changed = Waves(batch.samples.clone(), batch.lengths)
    unseen = slice(9 * field.stride + field.samples, 20 * field.stride)
    changed.samples[:, unseen] = waves(9000).samples[:, : unseen.stop - unseen.start]
    with torch.no_grad():
        one, two = (model(sound, hidden).frames.values for sound in (batch, changed))
        assert torch.equal(one, two)
        one, two = (model(sound, ~hidden).frames.values for sound in (batch, changed))
        assert not torch.allclose(one, two, atol=1e-2)


@pytest.mark.parametrize("options", [{"mean": True}, {"layers": [0, 1]}, {"layers": [2]}])
def test_an_upstream_without_every_hidden_state_is_refused(small_upstream, options):
    with pytest.raises(ConfigError, match="every hidden state"):
        MaskedModel(small_upstream(**options), {})
