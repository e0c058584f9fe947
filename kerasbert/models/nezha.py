"""NEZHA (Wei et al. 2019, arXiv:1909.00204): BERT with fixed relative positions.

Huawei's Chinese base and large models (with and without whole words), and Zhuiyi's WoNEZHA. The
names are BERT's without a position table, so that no text is too long. A file that has the table
was trained with ``use_relative_position`` false: its graph is BERT's.

"gelu" is the tanh form, as in Huawei's code. Hugging Face means the erf form by it, and so does
bert4keras, in which WoNEZHA was trained: pass ``hidden_act="gelu_erf"`` for its exact numbers.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kerasbert.backend import keras
from kerasbert.checkpoints import huggingface
from kerasbert.checkpoints.report import LoadReport
from kerasbert.config import ConfigError, TransformerConfig
from kerasbert.layers import (
    MultiHeadSelfAttention,
    RelativePositionEmbedding,
    RelativeSelfAttention,
)
from kerasbert.models.bert import BERT

_POSITION_TABLES = ("bert/embeddings/position_embeddings",
                    "nezha.embeddings.position_embeddings.weight")  # fmt: skip


@dataclass(frozen=True)
class NEZHAConfig(TransformerConfig):
    """The configuration of NEZHA.

    Attributes:
        use_relative_position: False is BERT's learned positions instead.
        max_relative_position: distance from which on all tokens are alike.
    """

    use_relative_position: bool = True
    max_relative_position: int = 64

    def __post_init__(self):
        super().__post_init__()
        self._check_integer("max_relative_position", minimum=1)
        if not isinstance(self.use_relative_position, bool):
            raise ConfigError(
                "use_relative_position must be true or false. Received: "
                f"{self.use_relative_position!r}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the configuration"):
        if values.get("model_type") == "nezha" and values.get("hidden_act") == "gelu":
            values = {**values, "hidden_act": "gelu_erf"}  # what Hugging Face means by the word
        return super().from_dict(values, source)


class NEZHA(BERT):
    """NEZHA and its heads; outputs and options are those of :class:`BERT`.

    Raises:
        ValueError: for options about learned positions, where there are none.
    """

    family = "nezha"
    config_class = NEZHAConfig
    gelu = "gelu_tanh"

    def __init__(self, config, **options):
        super().__init__(config, **options)
        if not config.use_relative_position:
            return
        for name in ("custom_position_ids", "hierarchical_position"):
            if getattr(self, name):
                raise ValueError(
                    f"{name} is for models with a position table. NEZHA knows the distance of two "
                    "tokens only, at any length of text: leave it out."
                )

    @property
    def attention_class(self) -> type:
        """The layer that attends, by the kind of positions."""
        relative = self.config.use_relative_position
        return RelativeSelfAttention if relative else MultiHeadSelfAttention

    def apply_positions(self, x, common: dict):
        return x if self.config.use_relative_position else super().apply_positions(x, common)

    @functools.cached_property
    def positions(self):
        """The vectors of all pairs of positions, (length, length, head_size), for all blocks."""
        layer = self.layer(
            RelativePositionEmbedding,
            "Embedding-Relative-Position",
            output_dim=self.config.head_size,
            max_distance=self.config.max_relative_position,
        )
        return layer(self.input("Input-Token"))

    def attention_inputs(self) -> dict[str, Any]:
        positions = {"positions": self.positions} if self.config.use_relative_position else {}
        return {**super().attention_inputs(), **positions}

    # ---- checkpoints ----------------------------------------------------------------------------

    tables = (BERT.tables[0], huggingface.bert_table("nezha."))
    marks = (r"nezha\..*",)
    model_types = ("nezha",)

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        names = set(names)
        if super().recognizes(names, config):
            return True
        if not names:
            return bool(config.get("use_relative_position"))
        if "bert/embeddings/LayerNorm/gamma" in names:
            # RoFormer's names are the same, but for the next sentence head, which it never has.
            own = config.get("use_relative_position") or "cls/seq_relationship/output_bias" in names
            return bool(own) and not names.intersection(_POSITION_TABLES)
        return "embeddings.word_embeddings.weight" in names and config.get("model_type") == "nezha"

    @classmethod
    def infer_config(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        found = super().infer_config(shapes, config)
        return {**found, "use_relative_position": "max_position_embeddings" not in found}

    @classmethod
    def hints(cls, report: LoadReport, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        found = super().hints(report, shapes)
        there = any(name in _POSITION_TABLES for name, _ in report.unexpected)
        if there or any(tensor in _POSITION_TABLES for _, tensor in report.missing):
            found.append(
                f"the file has {'a' if there else 'no'} position table, so that its model was "
                f"trained with use_relative_position={str(not there).lower()}, whatever the json "
                f"says: pass use_relative_position={not there}."
            )
        return found

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> NEZHAConfig:
        table = layers.get("Embedding-Relative-Position")
        return dataclasses.replace(
            super().describe(layers),
            use_relative_position=table is not None,
            max_relative_position=table.max_distance if table else 64,
        )
