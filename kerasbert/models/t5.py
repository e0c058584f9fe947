"""T5 and mT5 (Raffel et al. 2019, arXiv:1910.10683; Xue et al. 2020, arXiv:2010.11934).

Whole models, or the encoder or the decoder alone: T5 1.0, 1.1 (T5-PEGASUS, Flan-T5, ...) and mT5.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from kerasbert.backend import keras
from kerasbert.checkpoints.loading import open_tensors
from kerasbert.checkpoints.mapping import NameTable, Row
from kerasbert.checkpoints.report import LoadReport
from kerasbert.checkpoints.source import CheckpointFiles
from kerasbert.models.t5_config import T5Config
from kerasbert.models.t5_graph import T5Graph
from kerasbert.models.t5_names import OUTPUT_LAYERS, TABLES, infer_config, rows_of

logger = logging.getLogger("kerasbert")


class T5(T5Graph):
    """T5's encoder and decoder as one model: sequence to sequence.

    Inputs: the source's token ids and the target's, which begins with the padding id. Output: the
    probabilities of the target's next tokens, (batch, target length, vocab_size).

    The graph is the published one. bert4keras differs in two points, which weights trained with it
    need: ``cross_position_bias=True``, ``scale_decoder_outputs=True``.

    Args:
        config: sizes and constants.
        with_lm: the output layer: True for softmax, an activation's name ("linear" for logits), or
            False: the output is the decoder's hidden states.
        cross_position_bias: whether attention to the source has the decoder's relative positions
            as well.
        with_attention_mask: whether the source's mask is a further input,
            ``Encoder-Input-Mask``; otherwise padding is known by its id.
        **options: as :class:`Transformer`, without ``custom_position_ids``.

    Attributes:
        encoder: a ``keras.Model`` of the encoder alone, after :meth:`build`.
        decoder: one of the decoder alone, made on first use: its inputs are the encoder's output
            and the target's token ids (and the source's mask).
    """

    family = "t5"
    encoder: keras.Model | None = None

    # ---- building -------------------------------------------------------------------------------

    def build(self) -> keras.Model:
        context = self.encode()
        mask = self._mask_inputs()
        self.encoder = _model(
            [self.input("Encoder-Input-Token"), *mask], context, f"{self.name}-Encoder"
        )
        self.inputs = [self.input("Encoder-Input-Token"), self.input("Decoder-Input-Token"), *mask]
        self.outputs = [self.decode(context, self.attention_bias())]
        self.model = _model(self.inputs, self.outputs[0], self.name)
        return self.model

    @functools.cached_property
    def decoder(self) -> keras.Model | None:
        context = keras.Input(
            (self.sequence_length, self.config.hidden_size),
            dtype="float32",
            name=f"{self.prefix}Input-Context",
        )
        mask = self._mask_inputs()
        outputs = self.decode(context, self.attention_bias() if mask else None)
        inputs = [context, self.input("Decoder-Input-Token"), *mask]
        return _model(inputs, outputs, f"{self.name}-Decoder")

    def _mask_inputs(self) -> list:
        return [self.input("Encoder-Input-Mask")] if self.with_attention_mask else []

    # ---- checkpoints ----------------------------------------------------------------------------

    tables: ClassVar[tuple[NameTable, ...]] = TABLES
    marks = (
        r"(encoder|decoder)/block_000/layer_000/SelfAttention/q",
        r"(encoder|decoder)\.block\.0\.layer\.0\.SelfAttention\.q\.weight",
    )
    model_types = ("t5", "mt5")

    @classmethod
    def infer_config(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        return infer_config(shapes)

    @classmethod
    def review(
        cls, config: T5Config, files: CheckpointFiles, overrides: frozenset[str]
    ) -> T5Config:
        """Takes a tied output layer for one of its own where the file shows that it differs.

        transformers 5 writes ``"tie_word_embeddings": true`` for every T5.
        """
        source = open_tensors(files)
        if source is None or not config.tie_word_embeddings or "tie_word_embeddings" in overrides:
            return config
        for names in OUTPUT_LAYERS:
            if not set(names) <= source.shapes.keys():
                continue
            tensors = source.read(names)
            table, output = (tensors[name].numpy() for name in names)
            if not np.array_equal(table, output if output.shape == table.shape else output.T):
                logger.info("%s: %s is not %s, they are not tied", files.name, *reversed(names))
                said = "scale_decoder_outputs" in {*overrides, *(files.config or {})}
                scaled = config.scale_decoder_outputs if said else None
                return dataclasses.replace(
                    config, tie_word_embeddings=False, scale_decoder_outputs=scaled
                )
        return config

    @classmethod
    def rows(
        cls, table: NameTable, config: T5Config, layers: Mapping[str, keras.layers.Layer]
    ) -> list[Row]:
        return rows_of(table, config)

    def unused_tensors(self, table: NameTable) -> list[str]:
        if self.with_lm and not self.config.tie_word_embeddings:
            return []
        return [re.escape(output) for _, output in OUTPUT_LAYERS]

    @classmethod
    def hints(cls, report: LoadReport, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        missing = {tensor for _, tensor in report.missing}
        found = []
        if missing & {output for _, output in OUTPUT_LAYERS}:
            found.append(
                "the file has no output layer: pass tie_word_embeddings=True if the token table is "
                "its output layer, or with_lm=False for hidden states."
            )
        if any("DenseReluDense" in name for name in missing):
            gated = any(re.search(r"\bwi_1\b", name) for name in shapes)
            activation = '["gelu", "linear"]' if gated else '"relu"'
            found.append(
                f"its feed-forward networks are {'gated' if gated else 'not gated'}: pass "
                f"hidden_act={activation}."
            )
        return found

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> T5Config:
        def count(side: str) -> int:
            pattern = rf"{side}-Transformer-\d+-FeedForward"
            return sum(re.fullmatch(pattern, name) is not None for name in layers)

        depth = {side: count(side) for side in ("Encoder", "Decoder")}
        side = "Encoder" if depth["Encoder"] else "Decoder"
        token = layers["Embedding-Token"]
        attention = layers[f"{side}-Transformer-0-MultiHeadSelfAttention"]
        feed_forward = layers[f"{side}-Transformer-0-FeedForward"]
        positions = layers[f"{side}-Embedding-Relative-Position"]
        names = feed_forward.activation
        names = [names] if isinstance(names, str) else names
        usual = attention.head_size * attention.num_heads == attention.output_size
        tied = None
        if "Decoder-Output-LM-Activation" in layers:
            tied = "Decoder-Output-LM" not in layers
        return T5Config(
            vocab_size=token.input_dim,
            hidden_size=token.output_dim,
            num_hidden_layers=depth[side],
            num_decoder_layers=depth["Decoder"] or None,
            num_attention_heads=attention.num_heads,
            intermediate_size=feed_forward.intermediate_size,
            hidden_act=["gelu" if name == cls.gelu else name for name in names],
            hidden_dropout_prob=layers[f"{side}-Output-Dropout"].rate,
            attention_probs_dropout_prob=attention.dropout,
            layer_norm_eps=layers[f"{side}-Output-Norm"].epsilon,
            attention_head_size=None if usual else attention.head_size,
            attention_key_size=(
                None if attention.key_size == attention.head_size else attention.key_size
            ),
            relative_attention_num_buckets=positions.num_buckets,
            relative_attention_max_distance=positions.max_distance,
            tie_word_embeddings=tied,
            scale_decoder_outputs="Decoder-Output-Scale" in layers if depth["Decoder"] else None,
            initializer_factor=token.stddev,
            pad_token_id=token.mask_value,
        )


class T5Encoder(T5):
    """T5's encoder alone: its output is the hidden states, (batch, length, hidden_size).

    Loads encoders that were saved alone as well as whole models.
    """

    marks, model_types = T5.marks, T5.model_types
    family = "t5_encoder"
    published_with = ("t5",)
    decoder = None

    @classmethod
    def accepted_options(cls) -> set[str]:
        return super().accepted_options() - {"with_lm", "cross_position_bias"}

    def build(self) -> keras.Model:
        self.inputs = [self.input("Encoder-Input-Token"), *self._mask_inputs()]
        self.outputs = [self.encode()]
        self.model = self.encoder = _model(self.inputs, self.outputs[0], self.name)
        return self.model

    def unused_tensors(self, table: NameTable) -> list[str]:
        return [r"decoder[./].*", r"lm_head\.weight", r"Decoder-.*"]

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        names = list(names)
        if not names:
            return any(
                name.endswith("T5EncoderModel") for name in config.get("architectures") or ()
            )
        return super().recognizes(names, config) and not _any_of("decoder", names)


class T5Decoder(T5):
    """T5's decoder alone, as for generation.

    Inputs: the encoder's output (batch, source length, hidden_size) and the target's token ids.
    Padding of the source is not known, unless ``with_attention_mask`` adds its mask as an input.
    """

    marks, model_types = T5.marks, T5.model_types
    family = "t5_decoder"
    published_with = ("t5",)

    def build(self) -> keras.Model:
        self.model = self.decoder
        self.inputs, self.outputs = self.model.inputs, self.model.outputs
        return self.model

    def unused_tensors(self, table: NameTable) -> list[str]:
        return [*super().unused_tensors(table), r"encoder[./].*", r"Encoder-.*"]

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        names = list(names)
        return super().recognizes(names, config) and bool(names) and not _any_of("encoder", names)


def _any_of(side: str, names: Iterable[str]) -> bool:
    blocks = (f"{side}/block_", f"{side}.block.", f"{side.title()}-Transformer-")
    return any(name.startswith(blocks) for name in names)


def _model(inputs: list, outputs, name: str) -> keras.Model:
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs, name=name)
