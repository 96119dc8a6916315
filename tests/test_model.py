"""The pipeline: what each stage gets and gives, and independence of batch mates."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from noisewise.backend.heads import LinearHead
from noisewise.backend.pooled import PooledEmbedding
from noisewise.backend.transcribers import CTCTranscriber
from noisewise.decision.ctc import transcribe
from noisewise.enhance.frames import FrameUNet
from noisewise.enhance.wave_unet import WaveUNet
from noisewise.model import SpeechModel
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.hiding import Hidden
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


def test_the_output_knows_the_model_that_made_it(model):
    output = model(Waves.collate(clips(8000)))
    assert output.model is model
    half = replace(
        output,
        frames=replace(output.frames, values=output.frames.values.bfloat16()),
        embedding=output.embedding.bfloat16(),
        logits={task: values.bfloat16() for task, values in output.logits.items()},
    )
    again = half.float()
    assert again.model is model
    assert torch.equal(again.frames.lengths, output.frames.lengths)
    for value in (again.frames.values, again.embedding, *again.logits.values()):
        assert value.dtype == torch.float32
    torch.testing.assert_close(again.embedding, output.embedding, rtol=0.01, atol=0.01)


def test_what_is_hidden_goes_to_the_upstream(small_upstream):
    upstream = small_upstream()
    model = SpeechModel(upstream, PooledEmbedding(24, layers=4)).eval()
    waves = Waves.collate(clips(8000, 6000))
    counts = upstream.field.frame_counts(waves.lengths).tolist()
    hidden = Hidden(torch.ones(2, max(counts), dtype=torch.bool))
    output = model(waves, hidden)
    assert torch.equal(output.frames.values, upstream(waves, hidden).values)
    assert not torch.allclose(output.frames.values, model(waves).frames.values, atol=1e-2)


def test_objectives_are_saved_and_trained_with_the_model_but_do_nothing_in_it(model):
    waves = Waves.collate(clips(8000))
    bare = SpeechModel(model.upstream, model.backend).eval()
    before, parameters = bare.embed(waves), len(list(bare.parameters()))
    bare.objectives["phase-0"] = nn.Linear(3, 2)
    assert torch.equal(bare.embed(waves), before)
    assert len(list(bare.parameters())) == parameters + 2
    assert {n for n in bare.state_dict() if n.startswith("objectives")} == {
        "objectives.phase-0.weight", "objectives.phase-0.bias",
    }  # fmt: skip
    bare.objectives.clear()
    assert not any(n.startswith("objectives") for n in bare.state_dict())


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


@pytest.fixture(scope="module")
def enhanced(model):
    """``enhanced(waves, frames)``: the model with these enhancers, whose weights show."""

    def make(waves=True, frames=True):
        torch.manual_seed(1)
        first = WaveUNet(levels=2, step=3, kernel=5, up_kernel=3) if waves else None
        second = FrameUNet(model.upstream.dim, channels=4, levels=1, kernel=3) if frames else None
        if second is not None:
            nn.init.normal_(second.out.weight)
        heads = {"label": model.heads["label"]}
        return SpeechModel(model.upstream, model.backend, heads, first, second).eval()

    return make


@pytest.mark.parametrize(("waves", "frames"), [(True, True), (True, False), (False, True)])
@torch.no_grad()  # as `embed` hears: enhancers of waves take one clip at a time then
def test_enhancers_stand_before_and_after_the_upstream(model, enhanced, waves, frames):
    made, heard = enhanced(waves, frames), Waves.collate(clips(9000, 16000, 1))
    output = made(heard)
    samples = made.enhancer(heard) if waves else heard
    values = made.upstream(samples)
    values = made.frame_enhancer(values) if frames else values
    assert torch.equal(output.waves.samples, samples.samples)
    assert torch.equal(output.frames.values, values.values)
    assert torch.equal(output.embedding, made.backend(values))
    again = made.frames(made.enhanced(heard))
    assert torch.equal(again.values, output.frames.values)
    assert torch.equal(made.embed(heard), output.embedding)
    assert torch.equal(output.logits["label"], made.heads["label"](output.embedding))
    plain = model(heard)
    assert torch.equal(output.waves.samples, plain.waves.samples) != waves
    assert not torch.allclose(output.frames.values, plain.frames.values, atol=1e-2)


def test_without_enhancers_waves_and_frames_are_untouched(model):
    waves = Waves.collate(clips(9000, 16000))
    before = waves.samples.clone()
    assert model.enhanced(waves) is waves
    assert model(waves).waves is waves
    assert torch.equal(waves.samples, before)
    assert torch.equal(model.frames(waves).values, model.upstream(waves).values)
    assert not any("enhancer" in name for name in model.state_dict())


def test_an_enhanced_embedding_does_not_depend_on_batch_mates(enhanced):
    made, batch = enhanced(), clips(1, 399, 400, 5000, 16000, 20001)
    together = made.embed(Waves.collate(batch))
    alone = torch.cat([made.embed(Waves.collate([clip])) for clip in batch])
    assert (together - alone).abs().max() < 1e-4


def test_what_is_enhanced_can_be_hidden_too_and_both_are_in_32_bits(small_upstream):
    upstream, waves = small_upstream(), Waves.collate(clips(8000, 6000))
    enhancer = WaveUNet(levels=2, step=3, kernel=5, up_kernel=3)
    model = SpeechModel(upstream, PooledEmbedding(24, layers=4), enhancer=enhancer).eval()
    counts = upstream.field.frame_counts(waves.lengths).tolist()
    hidden = Hidden(torch.ones(2, max(counts), dtype=torch.bool))
    output = model(waves, hidden)
    assert torch.equal(output.frames.values, upstream(enhancer(waves), hidden).values)
    half = Waves(output.waves.samples.bfloat16(), output.waves.lengths)
    again = replace(output, waves=half).float().waves
    assert again.samples.dtype == torch.float32
    assert torch.equal(again.lengths, waves.lengths)


@pytest.mark.parametrize("learns", [False, True])
def test_an_enhancer_learns_from_what_comes_after_the_upstream(small_upstream, learns):
    upstream = small_upstream().train(learns).requires_grad_(learns)
    enhancer = WaveUNet(levels=2, step=3, kernel=5, up_kernel=3)
    model = SpeechModel(upstream, PooledEmbedding(24, layers=4), enhancer=enhancer)
    model(Waves.collate(clips(8000, 6000))).embedding[:, 0].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in enhancer.parameters())
    assert any(p.grad.any() for p in enhancer.parameters())
    assert any(p.grad is not None for p in upstream.parameters()) == learns


def test_a_transcriber_hears_the_frames_that_the_back_end_is_given(model, enhanced):
    torch.manual_seed(2)
    made = enhanced()
    assert made(Waves.collate(clips(8000))).transcript is None
    made.transcriber = CTCTranscriber(model.upstream.dim).eval()
    waves = Waves.collate(clips(9000, 16000, 1))
    output = made(waves)
    assert torch.equal(output.transcript, made.transcriber(output.frames))
    assert output.transcript.shape[:2] == output.frames.values.shape[1:3]
    half = replace(output, transcript=output.transcript.bfloat16()).float()
    assert half.transcript.dtype == torch.float32
    assert "transcriber.linear.weight" in made.state_dict()


@pytest.mark.parametrize("beam", [0, 4])
def test_embeddings_and_texts_come_from_one_pass(model, beam):
    torch.manual_seed(2)
    made = SpeechModel(
        model.upstream, model.backend, transcriber=CTCTranscriber(model.upstream.dim)
    )
    made.eval()
    batch = clips(9000, 16000, 5000)
    waves = Waves.collate(batch)
    passes = []
    handle = made.upstream.register_forward_hook(lambda *_: passes.append(1))
    embedding, texts = made.hear(waves, beam)
    assert len(passes) == 1
    handle.remove()
    assert not embedding.requires_grad
    assert torch.equal(embedding, made.embed(waves))
    output = made(waves)
    vocabulary = made.transcriber.vocabulary
    assert texts == transcribe(output.transcript, output.frames.lengths, vocabulary, beam)
    assert any(texts)
    assert [made.hear(Waves.collate([clip]), beam)[1][0] for clip in batch] == texts
    assert made.hear(waves)[1] is None
    assert model.hear(waves, beam)[1] is None
