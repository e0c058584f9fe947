"""GPT, GPT-2 and GPT2_ML, which read from left to right, as published for bert4keras.

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
from kerasbert.checkpoints.mapping import NameTable, Op, Row, choose_table, dense, norm
from kerasbert.checkpoints.report import LoadReport
from kerasbert.config import ConfigError, TransformerConfig, check_keywords
from kerasbert.layers import Activation
from kerasbert.models.bert import BERT
from kerasbert.models.sizes import revealed_sizes

logger = logging.getLogger("kerasbert")

_ATTENTION, _FEED_FORWARD = "Transformer-{i}-MultiHeadSelfAttention", "Transformer-{i}-FeedForward"
_LAYER, _NEWS_LAYER = "gpt/transformer/layer_{i}", "newslm/layer{i:02d}"

_COMMON = (
    Row("Embedding-Token/embeddings", "gpt/embeddings/word_embeddings", Op.TOKENS),
    Row("Embedding-Position/embeddings", "gpt/embeddings/position_embeddings"),
    *dense(f"{_ATTENTION}/query", f"{_LAYER}/attention/self/query"),
    *dense(f"{_ATTENTION}/key", f"{_LAYER}/attention/self/key"),
    *dense(f"{_ATTENTION}/value", f"{_LAYER}/attention/self/value"),
    *dense(f"{_ATTENTION}/output", f"{_LAYER}/attention/output/dense"),
    *dense(f"{_FEED_FORWARD}/intermediate", f"{_LAYER}/intermediate/dense"),
    *dense(f"{_FEED_FORWARD}/gate", f"{_LAYER}/intermediate/gate"),  # in none published
    *dense(f"{_FEED_FORWARD}/output", f"{_LAYER}/output/dense"),
)
GPT_ROWS = (
    *_COMMON,
    Row("Embedding-Segment/embeddings", "gpt/embeddings/token_type_embeddings"),
    *norm(f"{_ATTENTION}-Norm", f"{_LAYER}/attention/output/LayerNorm"),
    *norm(f"{_FEED_FORWARD}-Norm", f"{_LAYER}/output/LayerNorm"),
)
GPT2_ROWS = (
    *_COMMON,
    *norm(f"{_ATTENTION}-Norm", f"{_LAYER}/attention/input/LayerNorm"),
    *norm(f"{_FEED_FORWARD}-Norm", f"{_LAYER}/input/LayerNorm"),
    *norm("Output-Norm", "gpt/output/LayerNorm"),
)
GPT2_ML_ROWS = (
    Row("Embedding-Token/embeddings", "newslm/embeddings/word_embed", Op.TOKENS),
    Row("Embedding-Position/embeddings", "newslm/embeddings/pos_embed"),
    *norm("Embedding-Norm", "newslm/embeddings/LayerNorm_embed_norm"),
    *dense(f"{_ATTENTION}/query", f"{_NEWS_LAYER}/query_layer"),
    *dense(f"{_ATTENTION}/key", f"{_NEWS_LAYER}/key_layer"),
    *dense(f"{_ATTENTION}/value", f"{_NEWS_LAYER}/value_layer"),
    *dense(f"{_ATTENTION}/output", f"{_NEWS_LAYER}/context_projection_layer"),
    *norm(f"{_FEED_FORWARD}-Norm-0", f"{_NEWS_LAYER}/LayerNorm_mlp_ln0"),
    *dense(f"{_FEED_FORWARD}/intermediate", f"{_NEWS_LAYER}/intermediate"),
    *dense(f"{_FEED_FORWARD}/gate", f"{_NEWS_LAYER}/intermediate/gate"),  # in none published
    *dense(f"{_FEED_FORWARD}/output", f"{_NEWS_LAYER}/output"),
    *norm(f"{_FEED_FORWARD}-Norm-1", f"{_NEWS_LAYER}/LayerNorm_mlp_ln1"),
)


@dataclass(frozen=True)
class GPTConfig(TransformerConfig):
    """Sizes and constants of a GPT.

    Attributes:
        shared_segment_embeddings: whether segment ids are token ids, looked up in the token table:
            a dialogue's segments are its speakers, which have tokens of their own.
    """

    shared_segment_embeddings: bool = False

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
        "resid_pdrop": "hidden_dropout_prob",
        "attn_pdrop": "attention_probs_dropout_prob",
    }


@dataclass(frozen=True)
class GPT2Config(GPTConfig):
    """Sizes and constants of a GPT-2 or GPT2_ML."""

    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-5


class GPT(BERT):
    """OpenAI's GPT: its output is the probabilities of the next tokens.

    The output layer is the token table. "gelu" is the exact form, as in bert4keras;
    ``hidden_act="gelu_tanh"`` is the form that OpenAI's and CPM's own code computes.

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

    tables = (NameTable("google", GPT_ROWS),)
    marks = (r"gpt/transformer/layer_\d+/attention/output/LayerNorm/(beta|gamma)",)
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
    def infer_config(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        found = revealed_sizes(choose_table(cls.tables, shapes), shapes)
        found.pop("embedding_size", None)  # is the hidden_size
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

    tables = (NameTable("google", GPT2_ROWS),)
    marks = (r"gpt/output/LayerNorm/(beta|gamma)",)
    model_types = ("gpt2",)


class GPT2_ML(GPT):
    """imcaspar's gpt2-ml, Grover's graph, in Chinese with up to 1.5 billion parameters."""

    family = "gpt2_ml"
    config_class = GPT2Config
    has_segments = False

    def apply_embeddings(self):
        return self.normalize(self.sum_embeddings(), "Embedding-Norm")

    def apply_block(self, x, index: int):
        attention, feed_forward = _ATTENTION.format(i=index), _FEED_FORWARD.format(i=index)
        x = self.add(x, self.attend(x, attention), attention)
        change = self.feed_forward(self.normalize(x, f"{feed_forward}-Norm-0"), feed_forward)
        return self.normalize(self.add(x, change, feed_forward), f"{feed_forward}-Norm-1")

    tables = (NameTable("google", GPT2_ML_ROWS, optional=(r"newslm/.*/adafactor_\w+",)),)
    marks = (r"newslm/.*",)
    model_types = ()
