"""The pipeline: what each stage gets and gives, and independence of batch mates."""

import numpy as np
import pytest
import torch
from torch import nn

from noisewise.backend.heads import LinearHead
from noisewise.backend.pooled import PooledEmbedding
from noisewise.model import SpeechModel
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.logmel import LogMelUpstream


def clips(*lengths):
    return [0.1 * rng(0, n).standard_normal(n).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module", params=["res8", "res15", None])
def model(request):
    torch.manual_seed(0)
    encoder = {"name": request.param, "maps": 6} if request.param else None
    upstream = LogMelUpstream(mels=32, encoder=encoder)
    backend = PooledEmbedding(upstream.dim, projection=5)
    model = SpeechModel(upstream, backend, {"label": LinearHead(5, 3), "other": nn.Linear(5, 2)})
    model.train()
    with torch.no_grad():  # batch statistics of something like speech
        model(Waves.collate(clips(16000, 15999, 12000)))
    return model.eval()


def test_stages_feed_each_other(model):
    waves = Waves.collate(clips(9000, 16000))
    output = model(waves)
    frames = model.upstream(waves)
    assert torch.equal(output.frames.values, frames.values)
    assert torch.equal(output.embedding, model.backend(frames))
    assert set(output.logits) == {"label", "other"}
    for task, logits in output.logits.items():
        assert torch.equal(logits, model.heads[task](output.embedding))
    assert output.logits["label"].shape == (2, 3)


def test_embed_is_the_embedding_without_a_graph(model):
    waves = Waves.collate(clips(9000, 16000))
    embedding = model.embed(waves)
    assert not embedding.requires_grad
    assert torch.equal(embedding, model(waves).embedding)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


def test_embedding_does_not_depend_on_batch_mates(model):
    batch = clips(1, 399, 400, 5000, 16000, 40001)
    together = model.embed(Waves.collate(batch))
    alone = torch.cat([model.embed(Waves.collate([clip])) for clip in batch])
    assert (together - alone).abs().max() < 1e-5
    order = [3, 0, 5, 2, 4, 1]
    mixed = model.embed(Waves.collate([batch[i] for i in order]))
    assert (together[order] - mixed).abs().max() < 1e-5


def test_heads_are_optional_and_every_part_is_in_the_state(model):
    bare = SpeechModel(model.upstream, model.backend)
    assert bare(Waves.collate(clips(8000))).logits == {}
    stages = {name.split(".")[0] for name in model.state_dict()}
    assert stages >= {"backend", "heads"}
    assert {name.split(".")[0] for name in bare.state_dict()} == stages - {"heads"}
