"""Models for training: any family with an MLM head, whose head sees the chosen positions only."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from kerasbert import build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.loading import open_tensors
from kerasbert.checkpoints.source import find_checkpoint
from kerasbert.layers import GatherPositions, PositionEmbedding
from kerasbert.layers.embeddings import too_long
from kerasbert.models.bert import BERT
from kerasbert.models.gpt import GPT
from kerasbert.models.registry import find_model, recognize
from kerasbert.models.transformer import Transformer
from kerasbert.models.xlnet import XLNet
from pretraining.objectives.base import CorpusFacts, Export


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """Where the model comes from; see :func:`kerasbert.build_transformer_model`.

    Attributes:
        config: path or dict of the configuration, or None where the checkpoint has it.
        checkpoint: to go on from, or None for random weights.
        model: the family; None infers it.
        dtype: dtype policy.
        recompute: whether to save memory by computing twice.
        options: further arguments.
    """

    config: str | os.PathLike | Mapping[str, Any] | None = None
    checkpoint: str | os.PathLike | Mapping[str, Any] | None = None
    model: str | None = None
    dtype: Any = None
    recompute: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def build(self, corpus: CorpusFacts, **fixed) -> Transformer:
        """Builds the transformer for a corpus.

        Args:
            corpus: gives the length, and must fit the vocabulary.
            **fixed: what the objective decides, such as the heads.

        Raises:
            ValueError: for a family that the objective cannot train, an option that is not free,
                a vocabulary that is not the corpus's, or records that are too long.
        """
        fixed = {"sequence_length": corpus.max_length, **fixed}
        taken = sorted(fixed.keys() & self.options.keys())
        if taken:
            raise ValueError(
                f"{', '.join(taken)} is decided by the objective and the corpus: leave it out of "
                "the model's options."
            )
        family = self.family()
        if not issubclass(family, BERT) or issubclass(family, XLNet):
            raise ValueError(
                f"models of the family {family.family!r} cannot be trained here: XLNet and T5 learn"
                " from other objectives than masked or next tokens of one network. Take a model "
                "such as bert, roberta, albert, nezha, roformer or electra."
            )
        if issubclass(family, GPT) and fixed.get("application") != "lm":
            raise ValueError(
                f"models of the family {family.family!r} read from left to right and have no MLM "
                "head: train them with the objective 'lm'."
            )
        transformer = build_transformer_model(
            self.config,
            self.checkpoint,
            **{"model": self.model, "dtype": self.dtype, "recompute": self.recompute},
            **{**self.options, **fixed},
            return_keras_model=False,
        )
        _check_fit(corpus, transformer)
        return transformer

    def family(self) -> type[Transformer]:
        """The family of the model."""
        if self.model is not None:
            return find_model(self.model)[0]
        files = find_checkpoint(self.checkpoint, self.config)
        source = open_tensors(files)
        names = source.shapes if source is not None else ()
        return find_model(recognize(names, files.config or {}) or "bert")[0]


def _check_fit(corpus: CorpusFacts, transformer: Transformer) -> None:
    config, pad = transformer.config, corpus.special_ids["pad"]
    if config.vocab_size != corpus.vocab_size:
        raise ValueError(
            f"the corpus was made with a vocabulary of {corpus.vocab_size} tokens, but the model "
            f"has {config.vocab_size}. Prepare the corpus with the vocabulary of the model, or "
            "give a config with this vocab_size."
        )
    if config.pad_token_id != pad:
        raise ValueError(
            f"padding of the corpus has id {pad}, but that of the model "
            f"{config.pad_token_id}: set pad_token_id in the config, or use the right vocabulary."
        )
    for layer in transformer.layers.values():
        if isinstance(layer, PositionEmbedding) and layer.longest < corpus.max_length:
            raise ValueError(too_long(corpus.max_length, layer.longest))


def training_model(transformer: Transformer, width: int, pooled: bool = False) -> keras.Model:
    """The model of a step: inputs of the transformer and positions, to logits at these alone.

    Args:
        transformer: built, its last output that of a head over every token; the same layers are
            used here.
        width: number of positions of a row.
        pooled: whether its first output, (batch, ...), is an output here as well, before the
            logits (batch, width, vocab_size).
    """
    prefix = transformer.prefix
    positions = keras.Input((width,), dtype="int32", name=f"{prefix}Input-Positions")
    gather = GatherPositions(name=f"{prefix}Gather-Positions", dtype=transformer.dtype_policy)
    logits = transformer.apply_heads(gather(transformer.hidden_states, positions))[-1]
    outputs = [transformer.outputs[0], logits] if pooled else logits
    return keras.Model([*transformer.inputs, positions], outputs, name=transformer.name)


def model_inputs(transformer: Transformer, inputs: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    """What a training model takes of the inputs of a step: segments only where it reads them."""
    segments = ["segment_ids"] if transformer.reads_segments else []
    return [inputs[name] for name in ("token_ids", *segments, "positions")]


def export_of(transformer: Transformer) -> Export:
    """The export of one network with its heads."""

    def write(path: str | os.PathLike, tokenizer=None) -> str:
        return save_weights_as_checkpoint(transformer, path, vocab=tokenizer)

    return Export("bert_model", write)
