"""ERNIE 1.0 to 3.0 of Baidu (Sun et al. 2019, arXiv:1904.09223): BERT with other defaults.

ERNIE 3.0 adds a vector that stands for the task. ERNIE 1.0 exists as Google's format (a conversion
without the heads), under Hugging Face's names, and as Paddle Fluid's variables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kerasbert.backend import keras
from kerasbert.checkpoints import huggingface
from kerasbert.checkpoints.mapping import NameTable, Op, Row
from kerasbert.config import ConfigError, TransformerConfig
from kerasbert.layers import Add, ConstantEmbedding, Embedding
from kerasbert.models import bert_names
from kerasbert.models.bert import BERT


@dataclass(frozen=True)
class ErnieConfig(TransformerConfig):
    """ERNIE's constants, with ERNIE 1.0's as the defaults.

    Attributes:
        use_task_id: whether there is a table of tasks.
        task_type_vocab_size: its rows.
    """

    hidden_act: str = "relu"
    max_position_embeddings: int = 513
    layer_norm_eps: float = 1e-5
    use_task_id: bool = False
    task_type_vocab_size: int = 3

    def __post_init__(self):
        super().__post_init__()
        self._check_integer("task_type_vocab_size", minimum=1)
        if not isinstance(self.use_task_id, bool):
            raise ConfigError(f"use_task_id must be true or false. Received: {self.use_task_id!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the configuration"):
        """As the base; Paddle's files leave ``intermediate_size`` out where it is the usual."""
        hidden_size = values.get("hidden_size")
        if values.get("intermediate_size") is None and isinstance(hidden_size, int):
            values = {**values, "intermediate_size": 4 * hidden_size}
        return super().from_dict(values, source)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "layer_norm_eps": self.layer_norm_eps}


def _fluid_rows() -> tuple[Row, ...]:
    """The variables of the Fluid release; kernels are stored as ours."""

    def linear(variable: str, tensor: str) -> tuple[Row, ...]:
        parts = (("kernel", "w_0"), ("bias", "b_0"))
        return tuple(Row(f"{variable}/{ours}", f"{tensor}.{theirs}") for ours, theirs in parts)

    def norm(variable: str, tensor: str) -> tuple[Row, ...]:
        parts = (("gamma", "scale"), ("beta", "bias"))
        return tuple(Row(f"{variable}/{ours}", f"{tensor}_{theirs}") for ours, theirs in parts)

    block, layer = "Transformer-{i}", "encoder_layer_{i}"
    attention = f"{block}-MultiHeadSelfAttention"
    return (
        Row("Embedding-Token/embeddings", "word_embedding", Op.TOKENS),
        Row("Embedding-Position/embeddings", "pos_embedding"),
        Row("Embedding-Segment/embeddings", "sent_embedding"),
        Row("Embedding-Task/embeddings", "task_embedding"),
        *norm("Embedding-Norm", "pre_encoder_layer_norm"),
        *linear(f"{attention}/query", f"{layer}_multi_head_att_query_fc"),
        *linear(f"{attention}/key", f"{layer}_multi_head_att_key_fc"),
        *linear(f"{attention}/value", f"{layer}_multi_head_att_value_fc"),
        *linear(f"{attention}/output", f"{layer}_multi_head_att_output_fc"),
        *norm(f"{attention}-Norm", f"{layer}_post_att_layer_norm"),
        *linear(f"{block}-FeedForward/intermediate", f"{layer}_ffn_fc_0"),
        *linear(f"{block}-FeedForward/output", f"{layer}_ffn_fc_1"),
        *norm(f"{block}-FeedForward-Norm", f"{layer}_post_ffn_layer_norm"),
        *linear("Pooler-Dense", "pooled_fc"),
        *linear("NSP-Proba", "next_sent_fc"),
        *linear("MLM-Dense", "mask_lm_trans_fc"),
        *norm("MLM-Norm", "mask_lm_trans_layer_norm"),
        Row("MLM-Bias/bias", "mask_lm_out_fc.b_0", Op.TOKENS),
    )


class ERNIE(BERT):
    """ERNIE and its heads, which are BERT's.

    Where the configuration has ``use_task_id``, the task is the first one unless
    ``custom_task_ids`` asks for it.

    Args:
        config: sizes and constants.
        custom_task_ids: whether the tasks are a further input, ``Input-Task``, integer (batch,
            length), after the segments.
        **options: as :class:`BERT`.
    """

    family = "ernie"
    config_class = ErnieConfig
    tables = (
        NameTable(
            "google",
            (
                *bert_names.ROWS,
                Row("Embedding-Task/embeddings", "bert/embeddings/task_type_embeddings"),
            ),
            (r"bert/pooler/dense/(kernel|bias)", r"cls/.*"),
        ),
        huggingface.bert_table(
            "ernie.",
            Row("Embedding-Task/embeddings", "ernie.embeddings.task_type_embeddings.weight"),
        ),
        NameTable("fluid", _fluid_rows(), (r"(pooled|next_sent|mask_lm)_.*",)),
    )
    marks = (r"ernie\..*", r"encoder_layer_\d+_multi_head_att_query_fc\.w_0")
    model_types = ("ernie",)

    def __init__(self, config, *, custom_task_ids: bool = False, **options):
        if custom_task_ids and not config.use_task_id:
            raise ValueError("custom_task_ids needs a model with tasks: use_task_id=True.")
        super().__init__(config, **options)
        self.custom_task_ids = custom_task_ids

    def make_inputs(self) -> list:
        inputs = super().make_inputs()
        if self.custom_task_ids:
            inputs.insert(1 + self.reads_segments, self.input("Input-Task"))
        return inputs

    def apply_positions(self, x, common: dict):
        x = super().apply_positions(x, common)
        if not self.config.use_task_id:
            return x
        settings = {"input_dim": self.config.task_type_vocab_size, **common}
        if not self.custom_task_ids:
            return self.layer(ConstantEmbedding, "Embedding-Task", **settings)(x)
        task = self.layer(Embedding, "Embedding-Task", **settings)(self.input("Input-Task"))
        return self.layer(Add, "Embedding-Task-Add")([x, task])

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        names = list(names)
        # ERNIE 1.0 in Google's format, by what no BERT was published with.
        unusual = {"max_position_embeddings": 513, "hidden_act": "relu"}
        if unusual.items() <= config.items() and "bert/embeddings/position_embeddings" in names:
            return True
        return super().recognizes(names, config)

    @classmethod
    def infer_config(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        found = super().infer_config(shapes, config)
        for name, shape in shapes.items():
            if "task_type_embeddings" in name or name == "task_embedding":
                found.update(use_task_id=True, task_type_vocab_size=int(shape[0]))
        return found

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> TransformerConfig:
        described, task = super().describe(layers), layers.get("Embedding-Task")
        if task is None:
            return described
        return dataclasses.replace(described, use_task_id=True, task_type_vocab_size=task.input_dim)
