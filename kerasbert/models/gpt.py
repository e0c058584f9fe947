"""GPT, GPT-2 and GPT2_ML, which read from left to right.

* ``gpt``: OpenAI's GPT (Radford et al. 2018), published for Chinese dialogue as CDial-GPT (Wang et
  al. 2020, arXiv:2008.03946): BERT's blocks without the normalisation of the embeddings;
* ``gpt2``: GPT-2 (Radford et al. 2019), published for Chinese as CPM (Zhang et al. 2020,
  arXiv:2012.00413): each sublayer normalises what enters it;
* ``gpt2_ml``: imcaspar's gpt2-ml, which is Grover (Zellers et al. 2019, arXiv:1905.12616): nothing
  is normalised between attention and sum, twice around the feed-forward network.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kerasbert.backend import keras
from kerasbert.checkpoints.mapping import choose_table
from kerasbert.checkpoints.report import LoadReport
from kerasbert.checkpoints.source import CheckpointFiles
from kerasbert.config import ConfigError, TransformerConfig
from kerasbert.keywords import check_keywords
from kerasbert.layers import Activation
from kerasbert.models.bert import BERT
from kerasbert.models.gpt_names import (
    ATTENTION,
    FEED_FORWARD,
    GPT2_ML_TABLES,
    GPT2_TABLES,
    GPT_TABLES,
)
from kerasbert.models.sizes import revealed_sizes

logger = logging.getLogger("kerasbert")

# Switches in Hugging Face's json, which no published model that is read here has otherwise.
_USUAL = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class GPTConfig(TransformerConfig):
    """Sizes and constants of a GPT.

    Attributes:
        shared_segment_embeddings: whether segment ids are token ids, looked up in the token table:
            a dialogue's segments are its speakers, which have tokens of their own.
    """

    shared_segment_embeddings: bool = False

    nullable: ClassVar[frozenset[str]] = frozenset({"pad_token_id"})
    # OpenAI's spellings, besides those of Google's json that the conversions have.
    aliases: ClassVar[Mapping[str, str]] = {
        **TransformerConfig.aliases,
        "n_vocab": "vocab_size",
        "n_ctx": "max_position_embeddings",
        "n_positions": "max_position_embeddings",
        "n_embd": "hidden_size",
        "n_inner": "intermediate_size",
        "n_head": "num_attention_heads",
        "n_layer": "num_hidden_layers",
        "activation_function": "hidden_act",
        "afn": "hidden_act",
        "resid_pdrop": "hidden_dropout_prob",
        "attn_pdrop": "attention_probs_dropout_prob",
    }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the configuration"):
        """Reads a configuration; see :meth:`TransformerConfig.from_dict`.

        Raises:
            ConfigError: as there, and for what Hugging Face's classes can compute and these cannot.
        """
        for key, usual in _USUAL.items():
            if values.get(key, usual) not in (usual, None):
                raise ConfigError(
                    f"{source} is of a variant of GPT that is not built here: "
                    f"{key} must be {usual}. Received: {values[key]!r}"
                )
        return super().from_dict(values, source)


@dataclass(frozen=True)
class GPT2Config(GPTConfig):
    """Sizes and constants of a GPT-2 or GPT2_ML."""

    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-5


class GPT(BERT):
    """OpenAI's GPT: its output is the probabilities of the next tokens.

    The output layer is the token table. "gelu" is the exact form, as in bert4keras;
    ``hidden_act="gelu_tanh"`` is the form that OpenAI's and CPM's own code computes, and the one of
    files with Hugging Face's names. In these no id is padding unless their json says so.

    Args:
        config: sizes and constants.
        application: "lm", the only one.
        final_activation: applied to the scores of the vocabulary: "softmax", or "linear" for
            logits.
        **options: as :class:`BERT`, without its heads.
    """

    family = "gpt"
    config_class = GPTConfig
    applications = ("lm",)
    # Whether the family's published graphs have segments; bert4keras' json may say so of all.
    has_segments: ClassVar[bool] = True

    def __init__(
        self, config, *, application: str = "lm", final_activation: str = "softmax", **options
    ):
        check_keywords(options, self.accepted_options(), type(self).__name__)
        if config.embedding_width != config.hidden_size:
            raise ConfigError(
                f"embedding_size of a model {self.family!r} must be hidden_size, "
                f"{config.hidden_size}: its output layer is the token table. "
                f"Received: {config.embedding_size}"
            )
        if not self.has_segments:
            config = dataclasses.replace(config, type_vocab_size=0)
        options.setdefault("shared_segment_embeddings", config.shared_segment_embeddings)
        super().__init__(config, application=application, **options)
        self.final_activation = final_activation

    @classmethod
    def accepted_options(cls) -> set[str]:
        return super().accepted_options() - {"with_pool", "with_nsp", "with_mlm"}

    # ---- building -------------------------------------------------------------------------------

    def apply_embeddings(self):
        return self.dropout(self.sum_embeddings(), "Embedding-Dropout")

    def apply_heads(self, x) -> list:
        scores = self.layers["Embedding-Token"](x, reverse=True)
        activation = self.layer(
            Activation, "LM-Activation", activation=self.final_activation, dtype="float32"
        )
        return [activation(scores)]

    # ---- checkpoints ----------------------------------------------------------------------------

    tables = GPT_TABLES
    marks = (
        r"gpt/transformer/layer_\d+/attention/output/LayerNorm/(beta|gamma)",
        r"(transformer\.)?tokens_embed\.weight",
    )
    model_types = ("openai-gpt",)

    @classmethod
    def select(cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> type[GPT]:
        """The one of the three architectures that variables show: all are called GPT somewhere."""
        architectures = (GPT, GPT2, GPT2_ML)
        found = [other for other in architectures if shapes and other.recognizes(shapes, config)]
        if cls not in architectures or not found or cls in found:
            return cls
        logger.info("model=%r: the variables are those of %r", cls.family, found[0].family)
        return found[0]

    @classmethod
    def with_own_config(
        cls, files: CheckpointFiles, shapes: Mapping[str, tuple[int, ...]]
    ) -> CheckpointFiles:
        """Hugging Face's OpenAI GPT calls the tanh form "gelu", where its key is "afn"."""
        if not files.config or files.config.get("afn") != "gelu":
            return files
        return dataclasses.replace(files, config={**files.config, "afn": "gelu_tanh"})

    @classmethod
    def infer_config(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        table = choose_table(cls.tables, shapes)
        found: dict[str, Any] = revealed_sizes(table, shapes)
        found.pop("embedding_size", None)  # is the hidden_size
        if table.name == "huggingface":  # the defaults of those classes
            found.update(hidden_act="gelu_tanh", layer_norm_eps=1e-5, pad_token_id=None)
        if not config.get("shared_segment_embeddings"):
            found.setdefault("type_vocab_size", 0)
        return found

    @classmethod
    def hints(cls, report: LoadReport, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        if any(variable == "Embedding-Segment/embeddings" for variable, _ in report.missing):
            return ["the file has no segment table: pass segment_vocab_size=0, or "
                    "shared_segment_embeddings=True where the speakers of a dialogue are marked by "
                    "tokens."]  # fmt: skip
        return []

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> TransformerConfig:
        last = "Transformer-0-FeedForward"
        stand_ins = {
            "Embedding-Norm": layers.get(f"{last}-Norm"),
            "Embedding-Dropout": layers[f"{last}-Dropout"],
        }
        described = super().describe({**stand_ins, **layers})
        shared = "Embedding-Token-Segment" in layers and "Embedding-Segment" not in layers
        return dataclasses.replace(described, shared_segment_embeddings=shared)


class GPT2(GPT):
    """GPT-2: each sublayer normalises what enters it, and the last sum is normalised."""

    family = "gpt2"
    config_class = GPT2Config
    has_segments = False

    def apply_embeddings(self):
        return self.sum_embeddings()

    def sublayer(self, x, function, name: str):
        return self.add(x, function(self.normalize(x, f"{name}-Norm"), name), name)

    def apply_heads(self, x) -> list:
        x = self.normalize(x, "Output-Norm")
        return super().apply_heads(self.dropout(x, "Output-Dropout"))

    tables = GPT2_TABLES
    marks = (r"gpt/output/LayerNorm/(beta|gamma)", r"(transformer\.)?wpe\.weight")
    model_types = ("gpt2",)


class GPT2_ML(GPT):
    """imcaspar's gpt2-ml, Grover's graph, in Chinese with up to 1.5 billion parameters."""

    family = "gpt2_ml"
    config_class = GPT2Config
    has_segments = False

    def apply_embeddings(self):
        return self.normalize(self.sum_embeddings(), "Embedding-Norm")

    def apply_block(self, x, index: int):
        attention, feed_forward = ATTENTION.format(i=index), FEED_FORWARD.format(i=index)
        x = self.add(x, self.attend(x, attention), attention)
        change = self.feed_forward(self.normalize(x, f"{feed_forward}-Norm-0"), feed_forward)
        return self.normalize(self.add(x, change, feed_forward), f"{feed_forward}-Norm-1")

    tables = GPT2_ML_TABLES
    marks = (r"newslm/.*",)
    model_types = ()
