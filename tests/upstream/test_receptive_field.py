"""Counts of samples and frames are those of the convolutions themselves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from noisewise.upstream.receptive_field import ReceptiveField

WAV2VEC2 = ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
STACKS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=4)


def convolutions(field):
    layers = [nn.Conv1d(1, 1, k, s) for k, s in zip(field.kernels, field.strides, strict=True)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    return nn.Sequential(*layers)


def field_of(stack):
    return ReceptiveField(*(tuple(values) for values in zip(*stack, strict=True)))


def test_wav2vec_2_hears_25_ms_every_20_ms():
    field = ReceptiveField(*WAV2VEC2)
    assert (field.samples, field.stride) == (400, 320)
    assert field.frame_counts(torch.tensor([400, 719, 720, 16000])).tolist() == [1, 1, 2, 49]


@settings(max_examples=40, deadline=None)
@given(stack=STACKS, spare=st.lists(st.integers(0, 300), min_size=1, max_size=3))
def test_frames_are_as_many_as_the_convolutions_make(stack, spare):
    field = field_of(stack)
    network, samples = convolutions(field), [field.samples + more for more in spare]
    made = [network(torch.zeros(1, 1, n)).shape[2] for n in samples]
    assert field.frame_counts(torch.tensor(samples)).tolist() == made


@settings(max_examples=40, deadline=None)
@given(stack=STACKS, frame=st.integers(0, 3))
def test_a_frame_sees_its_own_samples_and_no_others(stack, frame):
    field = field_of(stack)
    wave = torch.zeros(1, 1, field.samples + 4 * field.stride, requires_grad=True)
    convolutions(field)(wave)[0, 0, frame].backward()
    seen = wave.grad[0, 0].nonzero()[:, 0]
    first = frame * field.stride
    assert (int(seen.min()), int(seen.max())) == (first, first + field.samples - 1)


@settings(max_examples=40, deadline=None)
@given(stack=STACKS)
def test_the_field_is_the_shortest_clip_of_a_frame_and_shorter_clips_count_as_one(stack):
    field = field_of(stack)
    shorter = torch.arange(1, field.samples + 1)
    assert (field.frame_counts(shorter) == 1).all()
    if field.samples > 1:
        with pytest.raises(RuntimeError):
            convolutions(field)(torch.zeros(1, 1, field.samples - 1))
