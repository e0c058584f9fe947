"""RemBERT (Chung et al. 2021, arXiv:2010.12821): narrow input embeddings, a wide output table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kerasbert.backend import keras
from kerasbert.checkpoints import huggingface
from kerasbert.checkpoints.mapping import NameTable, Op, Row
from kerasbert.config import TransformerConfig
from kerasbert.layers import Dense, Embedding
from kerasbert.models import bert_names
from kerasbert.models.bert import BERT


@dataclass(frozen=True)
class RembertConfig(TransformerConfig):
    """RemBERT's sizes.

    Attributes:
        output_embedding_size: width of the table that the MLM head scores by.
    """

    embedding_size: int | None = 256
    output_embedding_size: int = 1664

    aliases: ClassVar[Mapping[str, str]] = {
        **TransformerConfig.aliases,
        "input_embedding_size": "embedding_size",
    }

    def __post_init__(self):
        super().__post_init__()
        self._check_integer("output_embedding_size", minimum=1)

    @property
    def maps_embeddings(self) -> bool:
        return True


class RemBERT(BERT):
    """RemBERT and its heads: BERT but for a table of its own, ``MLM-Embedding``, for the output.

    The file that Google released in its own format has the head under names that were never
    documented, so that only the body is read from it; Hugging Face's has all.

    Args:
        config: sizes and constants.
        **options: as :class:`BERT`.
    """

    family = "rembert"
    config_class = RembertConfig
    tables = (
        NameTable(
            "google",
            (
                *bert_names.ROWS,
                Row("MLM-Embedding/embeddings", "cls/predictions/output_embedding", Op.TOKENS),
            ),
            (r"bert/pooler/dense/(kernel|bias)", r"cls/.*", r".*output_embedding.*"),
        ),
        NameTable(
            "huggingface",
            (
                *huggingface.embeddings("rembert."),
                *huggingface.mapping("rembert."),
                *huggingface.blocks("rembert."),
                *huggingface.linear("Pooler-Dense", "rembert.pooler.dense"),
                *huggingface.linear("NSP-Proba", "cls.seq_relationship"),
                *huggingface.linear("MLM-Dense", "cls.predictions.dense"),
                *huggingface.norm("MLM-Norm", "cls.predictions.LayerNorm"),
                Row("MLM-Embedding/embeddings", "cls.predictions.decoder.weight", Op.TOKENS),
                Row("MLM-Bias/bias", "cls.predictions.decoder.bias", Op.TOKENS),
            ),
            huggingface.OPTIONAL,
            root="rembert.",
        ),
    )
    marks = (r"rembert\..*", r".*output_embedding")
    model_types = ("rembert",)

    def transform(self, x):
        x = self.layer(
            Dense,
            "MLM-Dense",
            units=self.config.output_embedding_size,
            activation=self.activation,
            stddev=self.config.initializer_range,
        )(x)
        return self.normalize(x, "MLM-Norm")

    def output_table(self) -> Embedding:
        return self.layer(
            Embedding,
            "MLM-Embedding",
            input_dim=self.config.vocab_size,
            output_dim=self.config.output_embedding_size,
            stddev=self.config.initializer_range,
        )

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        # Without the head, the names in Google's format are those of a factorised BERT.
        return config.get("model_type") in cls.model_types or super().recognizes(names, config)

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> TransformerConfig:
        described = super().describe(layers)
        width = layers["Embedding-Token"].output_dim
        output = layers.get("MLM-Embedding")
        sizes = {"output_embedding_size": output.output_dim} if output else {}
        return dataclasses.replace(described, embedding_size=width, **sizes)
