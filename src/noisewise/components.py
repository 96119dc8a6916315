"""The only classes that a recipe or a run folder can name, and how they are built.

A configuration holds short names and plain values. A name is looked up in the table below and
in nothing else, so no file that a user downloads can make noisewise import or call anything.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from noisewise.errors import ConfigError

COMPONENTS: dict[str, dict[str, str]] = {
    "enhancer": {
        "wave_unet": "noisewise.enhance.wave_unet:WaveUNet",
    },
    "upstream": {
        "logmel": "noisewise.upstream.logmel:LogMelUpstream",
        "pitch": "noisewise.upstream.pitch:PitchUpstream",
        "selfsupervised": "noisewise.upstream.selfsupervised:SelfSupervisedUpstream",
        "wav2vec1": "noisewise.upstream.wav2vec1:Wav2Vec1Upstream",
        "decomposed": "noisewise.upstream.decomposed:DecomposedUpstream",
    },
    "decomposer": {
        "speech_split": "noisewise.upstream.decomposer:Decomposer",
    },
    "frame_enhancer": {
        "frame_cnn": "noisewise.enhance.frames:FrameCNN",
        "frame_unet": "noisewise.enhance.frames:FrameUNet",
    },
    "trunk": {
        "tcn": "noisewise.backend.trunk:TCNTrunk",
    },
    "backend": {
        "pooled": "noisewise.backend.pooled:PooledEmbedding",
        "layer_statistics": "noisewise.backend.layer_statistics:LayerStatistics",
        "ecapa": "noisewise.backend.ecapa:ECAPABackend",
        "tcn": "noisewise.backend.tcn:TCNBackend",
    },
    "pooling": {
        "average": "noisewise.pooling.average:AveragePool",
        "statistics": "noisewise.pooling.average:StatisticsPool",
        "max": "noisewise.pooling.average:MaxPool",
        "whitening": "noisewise.pooling.isotropy:WhiteningPool",
        "soft_decay": "noisewise.pooling.isotropy:SoftDecayPool",
        "squash": "noisewise.pooling.squash:SquashPool",
        "all_squash": "noisewise.pooling.squash:AllSquashPool",
        "sif": "noisewise.pooling.frequency:SIFPool",
        "local": "noisewise.pooling.frequency:LocalPool",
        "global": "noisewise.pooling.frequency:GlobalPool",
        "both": "noisewise.pooling.frequency:BothPool",
        "self_attentive": "noisewise.pooling.attention:SelfAttentivePool",
        "attentive_statistics": "noisewise.pooling.attention:AttentiveStatisticsPool",
        "channel_attentive": "noisewise.pooling.attention:ChannelAttentivePool",
        "one_hot_attentive": "noisewise.pooling.attention:OneHotAttentivePool",
    },
    "head": {
        "linear": "noisewise.backend.heads:LinearHead",
        "cosine": "noisewise.backend.heads:CosineHead",
    },
    "transcriber": {
        "ctc": "noisewise.backend.transcribers:CTCTranscriber",
    },
    "batches": {
        "classes": "noisewise.sampling.batches:ClassBatches",
        "durations": "noisewise.sampling.batches:DurationBatches",
        "pairs": "noisewise.sampling.pairs:PairBatches",
        "shuffled": "noisewise.sampling.batches:ShuffledBatches",
    },
    "term": {
        "cross_entropy": "noisewise.training.objective:CrossEntropyTerm",
        "triplet": "noisewise.training.objective:TripletTerm",
        "distill": "noisewise.training.objective:DistillTerm",
        "wave_reconstruction": "noisewise.training.enhancement_terms:WaveReconstructionTerm",
        "frame_reconstruction": "noisewise.training.enhancement_terms:FrameReconstructionTerm",
        "spectrum_reconstruction": (
            "noisewise.training.decomposition_terms:SpectrumReconstructionTerm"
        ),
        "hint": "noisewise.training.speaker_terms:HintTerm",
        "angular_prototypical": "noisewise.training.speaker_terms:AngularPrototypicalTerm",
        "margin_softmax": "noisewise.training.speaker_terms:MarginSoftmaxTerm",
        "ctc": "noisewise.training.task_terms:CTCTerm",
        "speaker": "noisewise.training.task_terms:SpeakerTerm",
        "masked_units": "noisewise.training.masked_terms:MaskedUnitsTerm",
        "self_distillation": "noisewise.training.masked_terms:SelfDistillationTerm",
        "contrastive": "noisewise.training.masked_terms:ContrastiveTerm",
        "layer_regression": "noisewise.training.masked_terms:LayerRegressionTerm",
    },
    "teacher": {
        "cepstral_units": "noisewise.training.teachers:CepstralUnits",
        "own_units": "noisewise.training.teachers:OwnUnits",
        "model_units": "noisewise.training.teachers:ModelUnits",
    },
    "optimizer": {
        "adamw": "torch.optim:AdamW",
        "novograd": "noisewise.training.novograd:NovoGrad",
    },
}
"""Kind -> name in configurations -> where the class lives."""

Spec = dict[str, Any]
"""``{"name": ..., **options}``, as it stands in a recipe."""


def build(kind: str, spec: Spec, **given: Any) -> Any:
    """The component that ``spec`` names, made from its options and what the caller gives.

    Args:
        kind: a key of `COMPONENTS`.
        spec: name and options; options are checked against the class's own signature.
        given: arguments that a configuration cannot set (sizes, labels, parameters).

    Raises:
        ConfigError: unknown name, unknown option, or an option of the wrong type.
    """
    table = COMPONENTS[kind]
    options = dict(spec)
    name = options.pop("name", None)
    if name not in table:
        raise ConfigError(f"unknown {kind} {name!r}; known: {', '.join(sorted(table))}")
    module, _, attribute = table[name].partition(":")
    factory = getattr(import_module(module), attribute)
    parameters = inspect.signature(factory).parameters
    free = [p for p in parameters if p not in given and p != "params"]
    hints = get_type_hints(factory.__init__)
    for option, value in options.items():
        if option not in free:
            raise ConfigError(
                f"{kind} {name!r} has no option {option!r}; it has: {', '.join(free) or 'none'}"
            )
        options[option] = _checked(f"{kind}.{name}.{option}", value, hints.get(option, Any))
    return factory(**{k: v for k, v in given.items() if k in parameters}, **options)


def _checked(where: str, value: Any, hint: Any) -> Any:
    try:
        config = ConfigDict(arbitrary_types_allowed=True)
        return TypeAdapter(hint, config=config).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"{where}: {value!r} {error.errors()[0]['msg'].lower()}") from error
