"""RoBERTa and XLM-R (Liu et al. 2019, arXiv:1907.11692; Conneau et al. 2020, arXiv:1911.02116).

The blocks are BERT's. Different are the positions, which begin after the padding id and skip
padding; the only segment; the epsilon; the names. XLM-R XL and XXL (Goyal et al. 2021,
arXiv:2105.00572) normalise before each sublayer instead of after it.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kerasbert.backend import keras
from kerasbert.checkpoints import huggingface
from kerasbert.checkpoints.mapping import NameTable, Op, Row, norm
from kerasbert.config import TransformerConfig
from kerasbert.layers import ConstantEmbedding, PaddedPositionEmbedding
from kerasbert.models import bert_names
from kerasbert.models.bert import BERT

logger = logging.getLogger("kerasbert")

_BLOCK, _LAYER = "Transformer-{i}", "roberta.encoder.layer.{i}"
_ATTENTION = f"{_BLOCK}-MultiHeadSelfAttention"
_LM_HEAD = (
    *huggingface.linear("MLM-Dense", "lm_head.dense"),
    *huggingface.norm("MLM-Norm", "lm_head.layer_norm"),
    Row("MLM-Bias/bias", "lm_head.bias", Op.TOKENS),
)
_POOLER = huggingface.linear("Pooler-Dense", "roberta.pooler.dense")


def _google_rows() -> tuple[Row, ...]:
    """BERT's rows under a root of their own: no RoBERTa was released in Google's format."""
    return tuple(
        dataclasses.replace(row, tensor=re.sub("^bert/", "roberta/", row.tensor))
        for row in bert_names.ROWS
    )


def _replaced(rows: tuple[Row, ...], *others: Row) -> tuple[Row, ...]:
    """The rows, with others for the same variables instead of theirs."""
    variables = {row.variable for row in others}
    return (*(row for row in rows if row.variable not in variables), *others)


def _tables(google: tuple[Row, ...], body: tuple[Row, ...]) -> tuple[NameTable, ...]:
    rows = (*huggingface.embeddings("roberta."), *body, *_POOLER, *_LM_HEAD)
    return (
        NameTable("google", google, (r"roberta/pooler/dense/(kernel|bias)", r"cls/.*")),
        NameTable("huggingface", rows, huggingface.OPTIONAL, root="roberta."),
    )


@dataclass(frozen=True)
class RobertaConfig(TransformerConfig):
    """The defaults of RoBERTa's files, whose early ones lack some keys."""

    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 1

    def to_dict(self) -> dict[str, Any]:
        own = {"layer_norm_eps": self.layer_norm_eps, "pad_token_id": self.pad_token_id}
        return {**super().to_dict(), **own}


class RoBERTa(BERT):
    """RoBERTa and XLM-R with their heads.

    With one segment (``type_vocab_size`` 1, as all were published) the input is the token ids
    alone, as a tensor and not in a list; its vector is added everywhere. ``application="unilm"``
    has the segments as an input all the same, since they say where the target begins.

    ``model="roberta"`` on a checkpoint that is BERT by its names or its configuration (HFL's
    RoBERTa-wwm-ext, roberta_zh, Zhuiyi's) builds BERT, and says so in the log.

    Args:
        config: sizes and constants.
        custom_position_ids: positions are rows of the table: the first token's is
            ``pad_token_id + 1``.
        **options: as :class:`BERT`, without its ``with_nsp`` and ``hierarchical_position``.
    """

    family = "roberta"
    config_class = RobertaConfig
    config_name = "config.json"
    tables = _tables(_google_rows(), huggingface.blocks("roberta."))
    marks = (r"roberta[./].*", r"encoder\.sentence_encoder\..*")
    model_types = ("roberta", "xlm-roberta", "camembert")

    def __init__(self, config, **options):
        for option, reason in (
            ("with_nsp", "was not trained on next sentence prediction"),
            ("hierarchical_position", "has rows that are no positions in its position table"),
        ):
            if options.get(option):
                raise ValueError(f"RoBERTa {reason}: it is built without {option}.")
        super().__init__(config, **options)

    @property
    def reads_segments(self) -> bool:
        return self.config.type_vocab_size > 1 or self.application == "unilm"

    def apply_segments(self, x, common: dict):
        if self.config.type_vocab_size > 1:
            return super().apply_segments(x, common)
        return self.layer(ConstantEmbedding, "Embedding-Segment", input_dim=1, **common)(x)

    def apply_positions(self, x, common: dict):
        layer = self.layer(
            PaddedPositionEmbedding,
            "Embedding-Position",
            input_dim=self.config.max_position_embeddings,
            pad_token_id=self.config.pad_token_id,
            **common,
        )
        if self.custom_position_ids:
            return layer(x, position_ids=self.input("Input-Position"))
        return layer(x, token_ids=self.input("Input-Token"))

    # ---- checkpoints ----------------------------------------------------------------------------

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        names = list(names)
        if super().recognizes(names, config):
            return True
        # Early configurations do not say their type.
        untyped = huggingface.ANONYMOUS in names and not config.get("model_type")
        return untyped and config.get("type_vocab_size") == 1

    @classmethod
    def select(cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> type[BERT]:
        if cls is RoBERTa and XLMRobertaXL.recognizes(shapes, config):
            return XLMRobertaXL
        if cls is not RoBERTa or not _is_bert(shapes, config):
            return cls
        logger.info(
            "model='roberta' is model='bert' for this checkpoint: it has BERT's %s",
            "names" if shapes else "configuration",
        )
        return BERT


def _is_bert(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> bool:
    """Whether what is called RoBERTa is BERT: by names, the json's type, padding or segments."""
    for family in (RoBERTa, BERT):
        if any(re.fullmatch(mark, name) for mark in family.marks for name in shapes):
            return family is BERT
    if config.get("model_type"):
        return config["model_type"] in BERT.model_types
    if config.get("pad_token_id"):
        return False
    values = {RobertaConfig.canonical_key(key): value for key, value in config.items()}
    table = shapes.get("embeddings.token_type_embeddings.weight")
    segments = table[0] if table else values.get("type_vocab_size")
    return segments not in (None, 1)


class XLMRobertaXL(RoBERTa):
    """XLM-R XL and XXL: normalisation before each sublayer and at the end, none of embeddings."""

    family = "xlm_roberta_xl"
    tables = _tables(
        _replaced(
            _google_rows(),
            *norm(f"{_ATTENTION}-Norm", "roberta/encoder/layer_{i}/attention/self_attn_layer_norm"),
            *norm(f"{_BLOCK}-FeedForward-Norm", "roberta/encoder/layer_{i}/LayerNorm"),
            *norm("Output-Norm", "roberta/encoder/LayerNorm"),
        ),
        _replaced(
            huggingface.blocks("roberta."),
            *huggingface.norm(f"{_ATTENTION}-Norm", f"{_LAYER}.attention.self_attn_layer_norm"),
            *huggingface.norm(f"{_BLOCK}-FeedForward-Norm", f"{_LAYER}.LayerNorm"),
            *huggingface.norm("Output-Norm", "roberta.encoder.LayerNorm"),
        ),
    )
    marks = (
        r"(roberta[./])?encoder[./]LayerNorm[./].*",
        r"encoder\.sentence_encoder\.layer_norm\..*",
    )
    model_types = ("xlm-roberta-xl",)

    def apply_embeddings(self):
        return self.dropout(self.sum_embeddings(), "Embedding-Dropout")

    def sublayer(self, x, function, name: str):
        return self.add(x, function(self.normalize(x, f"{name}-Norm"), name), name)

    def apply_heads(self, x) -> list:
        return super().apply_heads(self.normalize(x, "Output-Norm"))

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        return super(RoBERTa, cls).recognizes(names, config)  # by its type or its names only

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> TransformerConfig:
        return super().describe({**layers, "Embedding-Norm": layers["Output-Norm"]})
