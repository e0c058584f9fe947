"""The early naming of albert_zh (brightmart 2019, https://github.com/brightmart/albert_zh).

Its tiny, base, large and xlarge models. Not ALBERT renamed: token vectors are projected to the
hidden size before positions and segments are added, the MLM head goes back through the same
projection, and the blocks of some versions normalise before, not after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kerasbert.backend import keras
from kerasbert.checkpoints.mapping import NameTable, Row
from kerasbert.config import ConfigError
from kerasbert.layers import FactorizedEmbedding
from kerasbert.models import bert_names
from kerasbert.models.albert import ALBERT
from kerasbert.models.albert_config import AlbertConfig

PROJECTION = "bert/embeddings/word_embeddings_2"


@dataclass(frozen=True)
class AlbertZhConfig(AlbertConfig):
    """Sizes and constants of an early albert_zh.

    Attributes:
        embedding_size: width of the token table, before its projection.
        ln_type: "postln" or "preln": normalisation after each sublayer's sum, or before the
            sublayer. Variables are the same: only the json tells.
    """

    ln_type: str = "postln"

    def __post_init__(self):
        super().__post_init__()
        if self.ln_type not in ("postln", "preln"):
            raise ConfigError(f"ln_type must be postln or preln. Received: {self.ln_type!r}")
        if self.num_hidden_groups * self.inner_group_num != 1:
            raise ConfigError(
                "albert_zh in its early naming has one block for all layers. Received: "
                f"num_hidden_groups={self.num_hidden_groups}, "
                f"inner_group_num={self.inner_group_num}"
            )

    @property
    def embedding_width(self) -> int:
        return self.hidden_size


def _google_rows() -> tuple[Row, ...]:
    rows = [Row("Embedding-Token/projection", PROJECTION)]
    for row in bert_names.ROWS:
        if not row.variable.startswith("Embedding-Mapping/"):
            row = dataclasses.replace(row, tensor=row.tensor.replace("layer_{i}", "layer_shared"))
            rows.append(row)
            before = row.variable.replace("-Norm/", "-PreNorm/")
            if "{i}" in row.variable and before != row.variable:
                rows.append(dataclasses.replace(row, variable=before))
    return tuple(rows)


class EarlyALBERTZh(ALBERT):
    """albert_zh in its early naming.

    With ``ln_type="preln"`` the norms are called ``Transformer-FeedForward-PreNorm``, and the
    hidden states of a layer are the outputs of ``Transformer-FeedForward-Add``.

    Args:
        config: sizes and constants.
        **options: as :class:`ALBERT`, without ``share_layers``.
    """

    family = "albert_zh"
    config_class = AlbertZhConfig

    def __init__(self, config, **options):
        super().__init__(config, **options)
        if not self.share_layers:
            raise ValueError(
                "albert_unshared is not available for albert_zh in its early naming: its files "
                "have room for one block. Build it with model='albert_zh'."
            )

    def sum_embeddings(self):
        # Made here, so that BERT's method finds it under its name.
        self.layer(
            FactorizedEmbedding,
            "Embedding-Token",
            input_dim=self.config.vocab_size,
            output_dim=self.config.embedding_size or self.config.hidden_size,
            projected_dim=self.config.hidden_size,
            mask_value=self.config.pad_token_id,
            stddev=self.config.initializer_range,
            family=self.family,
        )
        return super().sum_embeddings()

    def sublayer(self, x, function: Callable, name: str):
        if self.config.ln_type == "postln":
            return super().sublayer(x, function, name)
        return self.add(x, function(self.normalize(x, f"{name}-PreNorm"), name), name)

    tables = (NameTable("google", _google_rows(), optional=bert_names.TABLES[0].optional),)
    marks = (PROJECTION,)
    model_types = ()

    @classmethod
    def select(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> type[ALBERT]:
        return ALBERT if shapes and PROJECTION not in shapes else cls

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> AlbertZhConfig:
        before = "Transformer-FeedForward-PreNorm" in layers
        described = super().describe(layers)
        return dataclasses.replace(described, ln_type="preln" if before else "postln")
