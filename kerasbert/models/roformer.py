"""RoFormer (Su et al. 2021, arXiv:2104.09864): BERT with rotary positions, and its second version.

Zhuiyi's Chinese models: by words and by characters, RoFormer-Sim (build it with
``application="unilm", with_pool="linear"``), and RoFormer v2, which has no biases and no weights in
its normalisations. The names are BERT's without a position table; no text is too long.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kerasbert.backend import keras
from kerasbert.checkpoints import huggingface
from kerasbert.checkpoints.mapping import NameTable, Row
from kerasbert.config import TransformerConfig
from kerasbert.layers import (
    Activation,
    Dense,
    RMSNormalization,
    RotarySelfAttention,
    SinusoidalPositionEmbedding,
)
from kerasbert.models import bert_names
from kerasbert.models.bert import BERT


@dataclass(frozen=True)
class RoFormerConfig(TransformerConfig):
    """The configuration of RoFormer.

    Attributes:
        rotary_value: whether values are turned by their position as well (of Hugging Face's
            configurations; no release of Zhuiyi's does it).
    """

    rotary_value: bool = False


def _huggingface_table() -> NameTable:
    """BERT's names, but for the projection of narrower embeddings and a buffer of angles."""
    table = huggingface.bert_table("roformer.")
    ours = "Embedding-Mapping"
    rows = [row for row in table.rows if not row.variable.startswith(f"{ours}/")]
    rows += huggingface.linear(ours, "roformer.embeddings_project")
    buffer = r"(roformer\.)?encoder\.embed_positions\.weight"
    return dataclasses.replace(table, rows=tuple(rows), optional=(*table.optional, buffer))


class RoFormer(BERT):
    """RoFormer and its heads; outputs and options are those of :class:`BERT`.

    ``custom_position_ids`` makes positions a further input.

    Raises:
        ValueError: for hierarchical_position: there is no table whose rows it could compose.
    """

    family = "roformer"
    config_class = RoFormerConfig
    attention_class = RotarySelfAttention

    def __init__(self, config, **options):
        super().__init__(config, **options)
        if self.hierarchical_position:
            raise ValueError(
                "hierarchical_position extends a table of learned positions. RoFormer has none "
                "and reads texts of any length: leave it out."
            )

    def apply_positions(self, x, common: dict):
        return x

    @functools.cached_property
    def positions(self):
        """Sine and cosine of all positions, (1 or batch, length, key_size), for all blocks."""
        layer = self.layer(
            SinusoidalPositionEmbedding,
            "Embedding-Rotary-Position",
            output_dim=self.config.key_size,
            merge_mode="zero",
            custom_position_ids=self.custom_position_ids,
            dtype="float32",
        )
        inputs = self.input("Input-Token")  # for its length
        return layer([inputs, self.input("Input-Position")] if self.custom_position_ids else inputs)

    def attention_settings(self) -> dict[str, Any]:
        return {**super().attention_settings(), "rotate_values": self.config.rotary_value}

    def attention_inputs(self) -> dict[str, Any]:
        return {**super().attention_inputs(), "positions": self.positions}

    # ---- checkpoints ----------------------------------------------------------------------------

    tables = (BERT.tables[0], _huggingface_table())
    marks = (r"roformer\..*", r"encoder\.embed_positions\.weight")
    model_types = ("roformer",)

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        names = set(names)
        if super().recognizes(names, config):
            return True
        # NEZHA's files may have the same names: their json says use_relative_position.
        others = {"bert/embeddings/position_embeddings", "cls/seq_relationship/output_bias"}
        return (
            "bert/encoder/layer_0/attention/self/query/bias" in names
            and not names & others
            and not config.get("use_relative_position")
        )

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> RoFormerConfig:
        attention = layers["Transformer-0-MultiHeadSelfAttention"]
        return dataclasses.replace(super().describe(layers), rotary_value=attention.rotate_values)


@dataclass(frozen=True)
class RoFormerV2Config(RoFormerConfig):
    """The configuration of RoFormer v2; its published files say neither epsilon nor positions."""

    layer_norm_eps: float = 1e-7  # bert4keras', in which it was trained


class RoFormerV2(RoFormer):
    """RoFormer without biases, and with root mean square normalisation without weights.

    The MLM head is the token table alone, without a layer before it and without a bias.

    Raises:
        ValueError: for a pooler or next sentence head, which it was not trained with, and for a
            condition, as there is no factor and no offset that it could change.
    """

    family = "roformer_v2"
    config_class = RoFormerV2Config
    use_bias = False

    def __init__(self, config, **options):
        super().__init__(config, **options)
        if self.with_pool:
            raise ValueError(
                "RoFormer v2 was published without a pooler and without a next sentence head: "
                "leave out with_pool and with_nsp, and put a layer of your own on the first token."
            )
        if self.layer_norm_cond is not None:
            raise ValueError(
                "layer_norm_cond changes the factor and the offset of layer normalisation, and "
                "RoFormer v2 has neither. Use model='roformer'."
            )

    def apply_embeddings(self):
        config = self.config
        x = self.dropout(self.sum_embeddings(), "Embedding-Dropout")  # before the norm, here
        x = self.normalize(x, "Embedding-Norm")
        return self.mapped(x, "Embedding-Mapping", config.hidden_size)

    def normalize(self, x, name: str):
        epsilon = self.config.layer_norm_eps
        return self.layer(RMSNormalization, name, epsilon=epsilon, scale=False)(x)

    def apply_mlm(self, x):
        x = self.mapped(x, "Output-Mapping", self.config.embedding_width)
        x = self.dropout(x, "Output-MLM-Dropout")
        x = self.layers["Embedding-Token"](x, reverse=True)
        activation = "softmax" if self.with_mlm is True else self.with_mlm
        return self.layer(
            Activation, "Output-MLM-Activation", activation=activation, dtype="float32"
        )(x)

    def mapped(self, x, name: str, width: int):
        """Vectors of that width, by a projection where they have another."""
        if not self.config.maps_embeddings:
            return x
        stddev = self.config.initializer_range
        return self.layer(Dense, name, units=width, use_bias=False, stddev=stddev)(x)

    # ---- checkpoints ----------------------------------------------------------------------------

    tables = (
        NameTable(
            "google",
            (
                *(
                    row
                    for row in bert_names.ROWS
                    if row.variable.endswith(("/embeddings", "/kernel"))
                ),
                # No release has narrower embeddings; this is the name that BERT would use.
                Row("Output-Mapping/kernel", "cls/predictions/transform/dense/kernel"),
            ),
            optional=(r"cls/.*",),
        ),
    )
    marks = ()
    model_types = ("roformer_v2",)

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        query = "bert/encoder/layer_0/attention/self/query"
        names = set(names)
        if not names:
            return config.get("model_type") in cls.model_types
        return f"{query}/kernel" in names and f"{query}/bias" not in names
