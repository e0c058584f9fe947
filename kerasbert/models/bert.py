"""BERT in all its released forms (Devlin et al. 2018, arXiv:1810.04805).

Google 2018 to 2020, whole word masking, multilingual, HFL wwm/ext/RBT, MacBERT, LERT, PERT,
roberta_zh, BioBERT, SimBERT, and the factorised tiny and small models of Zhuiyi: one graph, one
set of names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from kerasbert.backend import keras
from kerasbert.checkpoints.mapping import NameTable, choose_table
from kerasbert.config import ConfigError, TransformerConfig
from kerasbert.layers import (
    Activation,
    Add,
    Bias,
    ConditionalLayerNormalization,
    Dense,
    Dropout,
    Embedding,
    FeedForward,
    FirstToken,
    LayerNormalization,
    MultiHeadSelfAttention,
    PositionEmbedding,
)
from kerasbert.models.bert_names import TABLES
from kerasbert.models.sizes import revealed_sizes
from kerasbert.models.transformer import Transformer


class BERT(Transformer):
    """BERT and its heads.

    Outputs: the hidden states (batch, length, hidden_size); or, where heads are asked for, these
    alone: pooled vector (batch, hidden_size), or instead of it the NSP probabilities (batch, 2);
    then the MLM probabilities (batch, length, vocab_size).

    Args:
        config: sizes and constants.
        with_pool: True for the tanh pooler over [CLS], or an activation's name ("linear" for
            SimBERT).
        with_nsp: next sentence prediction; True for softmax, or an activation's name.
        with_mlm: masked language model head; True for softmax, or an activation's name ("linear"
            for logits). Applications "lm" and "unilm" have it always.
        hierarchical_position: True (0.4) or a rate, for texts beyond the position table.
        residual_attention_scores: each block adds the attention scores of the one before to its
            own.
        shared_segment_embeddings: segment ids are ids of tokens, such as a speaker's, and looked up
            in the token table.
        layer_norm_cond: a symbolic tensor (batch, size), such as the embedding of a class, that
            changes factor and offset of every layer normalisation; nothing before it is trained.
        layer_norm_cond_hidden_size: width of a dense layer that the condition goes through in each
            of them; None is none.
        layer_norm_cond_hidden_act: its activation; None is linear.
        additional_input_layers: one ``keras.Input`` or several that the condition is computed from:
            inputs of the model after its own.
        **options: as :class:`Transformer`.
    """

    family = "bert"
    attention_class: ClassVar[type] = MultiHeadSelfAttention
    # Whether the projections of the body have biases.
    use_bias: ClassVar[bool] = True
    pooled_token: ClassVar[type] = FirstToken

    def __init__(
        self,
        config,
        *,
        with_pool: bool | str = False,
        with_nsp: bool | str = False,
        with_mlm: bool | str = False,
        hierarchical_position: bool | float = False,
        residual_attention_scores: bool = False,
        shared_segment_embeddings: bool = False,
        layer_norm_cond=None,
        layer_norm_cond_hidden_size: int | None = None,
        layer_norm_cond_hidden_act: str | None = None,
        additional_input_layers=None,
        **options,
    ):
        super().__init__(config, **options)
        self.with_nsp = with_nsp
        self.with_pool = with_pool or bool(with_nsp)
        self.with_mlm = with_mlm or self.application in ("lm", "unilm")
        self.hierarchical_position = hierarchical_position
        self.residual_attention_scores = residual_attention_scores
        self.shared_segment_embeddings = shared_segment_embeddings
        self.layer_norm_cond = layer_norm_cond
        self.layer_norm_cond_hidden_size = layer_norm_cond_hidden_size
        self.layer_norm_cond_hidden_act = layer_norm_cond_hidden_act
        several = isinstance(additional_input_layers, (list, tuple))
        inputs = additional_input_layers if several else [additional_input_layers]
        self.additional_inputs = [x for x in inputs if x is not None]
        self._scores = None

    # ---- the body -------------------------------------------------------------------------------

    def make_inputs(self) -> list:
        return [*super().make_inputs(), *self.additional_inputs]

    def apply_embeddings(self):
        config = self.config
        x = self.sum_embeddings()
        x = self.normalize(x, "Embedding-Norm")
        x = self.dropout(x, "Embedding-Dropout")
        if config.maps_embeddings:
            x = self.layer(
                Dense,
                "Embedding-Mapping",
                units=config.hidden_size,
                use_bias=self.use_bias,
                stddev=config.initializer_range,
            )(x)
        return x

    def sum_embeddings(self):
        """The sum of token, segment and position vectors, (batch, length, embedding_size)."""
        config = self.config
        common = {"output_dim": config.embedding_width, "stddev": config.initializer_range}
        token = self.layer(
            Embedding,
            "Embedding-Token",
            input_dim=config.vocab_size,
            mask_value=config.pad_token_id,
            family=self.family,
            **common,
        )
        x = token(self.input("Input-Token"))
        if config.type_vocab_size > 0:
            x = self.apply_segments(x, common)
        return self.apply_positions(x, common)

    def apply_segments(self, x, common: dict):
        """Adds what tells segments apart."""
        segment = self.segment_table(common)(self.input("Input-Segment"))
        return self.layer(Add, "Embedding-Token-Segment")([x, segment])

    def segment_table(self, common: dict):
        """The layer that segment ids are looked up in."""
        if self.shared_segment_embeddings:
            return self.layers["Embedding-Token"]
        return self.layer(
            Embedding, "Embedding-Segment", input_dim=self.config.type_vocab_size, **common
        )

    def apply_positions(self, x, common: dict):
        """Adds what tells positions apart."""
        layer = self.layer(
            PositionEmbedding,
            "Embedding-Position",
            input_dim=self.config.max_position_embeddings,
            hierarchical=self.hierarchical_position,
            **common,
        )
        if self.custom_position_ids:
            return layer(x, position_ids=self.input("Input-Position"))
        return layer(x)

    def apply_block(self, x, index: int):
        x = self.sublayer(x, self.attend, f"Transformer-{index}-MultiHeadSelfAttention")
        return self.sublayer(x, self.feed_forward, f"Transformer-{index}-FeedForward")

    def sublayer(self, x, function: Callable, name: str):
        """A sublayer of a block and what surrounds it: here dropout, sum and norm come after it.

        Args:
            x: (batch, length, hidden_size).
            function: :meth:`attend` or :meth:`feed_forward`.
            name: of the sublayer.
        """
        return self.residual(x, function(x, name), name)

    def feed_forward(self, x, name: str):
        """The feed-forward network."""
        return self.layer(
            FeedForward,
            name,
            intermediate_size=self.config.intermediate_size,
            output_size=self.config.hidden_size,
            activation=self.feed_forward_activation,
            use_bias=self.use_bias,
            stddev=self.config.initializer_range,
        )(x)

    def attend(self, x, name: str):
        """Self-attention, with the scores handed on where RealFormer asks for it."""
        layer = self.layer(self.attention_class, name, **self.attention_settings())
        if not self.residual_attention_scores:
            return layer(x, **self.attention_inputs())
        extra = {} if self._scores is None else {"previous_scores": self._scores}
        x, self._scores = layer(x, **self.attention_inputs(), **extra)
        return x

    def attention_settings(self) -> dict[str, Any]:
        """The settings of every attention layer."""
        config = self.config
        return {
            "num_heads": config.num_attention_heads,
            "head_size": config.head_size,
            "key_size": config.key_size,
            "output_size": config.hidden_size,
            "dropout": config.attention_probs_dropout_prob,
            "residual_scores": self.residual_attention_scores,
            "use_bias": self.use_bias,
            "stddev": config.initializer_range,
        }

    def attention_inputs(self) -> dict[str, Any]:
        """What every attention layer is given besides the hidden states."""
        return {"attention_bias": self.attention_bias()}

    def residual(self, x, change, name: str):
        """Dropout, sum and normalisation after a sublayer."""
        return self.normalize(self.add(x, change, name), f"{name}-Norm")

    def add(self, x, change, name: str):
        """Dropout and sum after a sublayer."""
        change = self.dropout(change, f"{name}-Dropout")
        return self.layer(Add, f"{name}-Add")([x, change])

    def dropout(self, x, name: str):
        """Hidden-state dropout."""
        return self.layer(Dropout, name, rate=self.config.hidden_dropout_prob)(x)

    def normalize(self, x, name: str):
        """Layer normalisation with the configured epsilon, conditional where that is asked for."""
        epsilon = self.config.layer_norm_eps
        if self.layer_norm_cond is None:
            return self.layer(LayerNormalization, name, epsilon=epsilon)(x)
        layer = self.layer(
            ConditionalLayerNormalization,
            name,
            epsilon=epsilon,
            hidden_units=self.layer_norm_cond_hidden_size,
            hidden_activation=self.layer_norm_cond_hidden_act,
            stddev=self.config.initializer_range,
        )
        return layer([x, self.layer_norm_cond])

    # ---- the heads ------------------------------------------------------------------------------

    def apply_heads(self, x) -> list:
        outputs = []
        if self.with_pool:
            outputs.append(self.apply_pooler(x))
        if self.with_mlm:
            outputs.append(self.apply_mlm(x))
        return outputs or [x]

    def apply_pooler(self, x):
        """The pooled [CLS] vector, or the NSP probabilities from it."""
        config = self.config
        x = self.layer(self.pooled_token, "Pooler")(x)
        x = self.layer(
            Dense,
            "Pooler-Dense",
            units=config.hidden_size,
            activation="tanh" if self.with_pool is True else self.with_pool,
            stddev=config.initializer_range,
        )(x)
        if self.with_nsp:
            x = self.layer(
                Dense,
                "NSP-Proba",
                units=2,
                activation="softmax" if self.with_nsp is True else self.with_nsp,
                stddev=config.initializer_range,
                dtype="float32",
            )(x)
        return x

    def apply_mlm(self, x):
        """Scores over the vocabulary."""
        x = self.transform(x)
        x = self.output_table()(x, reverse=True)
        x = self.layer(Bias, "MLM-Bias", dtype="float32")(x)
        activation = "softmax" if self.with_mlm is True else self.with_mlm
        return self.layer(Activation, "MLM-Activation", activation=activation, dtype="float32")(x)

    def output_table(self) -> Embedding:
        """The layer whose rows score the vocabulary: that of the tokens."""
        if self.config.extra.get("tie_word_embeddings") is False:
            raise ConfigError(
                "the configuration says tie_word_embeddings=false, but the MLM head of "
                f"{self.family!r} scores by the token table. Build without it, or correct the "
                "configuration where the file has no table of its own for the output."
            )
        return self.layers["Embedding-Token"]

    def transform(self, x):
        """What the MLM head does before it scores."""
        x = self.layer(
            Dense,
            "MLM-Dense",
            units=self.config.embedding_width,
            activation=self.activation,
            stddev=self.config.initializer_range,
        )(x)
        return self.normalize(x, "MLM-Norm")

    # ---- checkpoints ----------------------------------------------------------------------------

    tables = TABLES
    marks = (r"bert/embeddings/position_embeddings", r"bert\.embeddings\.position_embeddings\..*")
    model_types = ("bert",)

    @classmethod
    def infer_config(
        cls, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
    ) -> dict[str, Any]:
        found = revealed_sizes(choose_table(cls.tables, shapes), shapes)
        if found.get("embedding_size") == found.get("hidden_size"):
            found.pop("embedding_size", None)
        return found

    def unused_tensors(self, table: NameTable) -> list[str]:
        shared = ("Embedding-Segment/",) if self.shared_segment_embeddings else ()
        unused = [row.tensor for row in table.rows if row.variable.startswith(shared)]
        return [*super().unused_tensors(table), *map(re.escape, unused)]

    @classmethod
    def describe(cls, layers: Mapping[str, keras.layers.Layer]) -> TransformerConfig:
        token, position = layers["Embedding-Token"], layers.get("Embedding-Position")
        attention = layers["Transformer-0-MultiHeadSelfAttention"]
        feed_forward = layers["Transformer-0-FeedForward"]
        segment = layers.get("Embedding-Segment")
        shared = segment is None and "Embedding-Token-Segment" in layers
        names = feed_forward.activation
        names = [names] if isinstance(names, str) else names
        hidden, heads = attention.output_size, attention.num_heads
        usual = attention.head_size * heads == hidden
        return cls.config_class(
            vocab_size=token.input_dim,
            hidden_size=hidden,
            num_hidden_layers=sum(
                re.fullmatch(r"Transformer-\d+-MultiHeadSelfAttention", name) is not None
                for name in layers
            ),
            num_attention_heads=heads,
            intermediate_size=feed_forward.intermediate_size,
            hidden_act=["gelu" if name == cls.gelu else name for name in names],
            hidden_dropout_prob=layers["Embedding-Dropout"].rate,
            attention_probs_dropout_prob=attention.dropout,
            max_position_embeddings=(
                position.input_dim if position else cls.config_class.max_position_embeddings
            ),
            type_vocab_size=segment.input_dim if segment else 2 * shared,
            initializer_range=token.stddev,
            layer_norm_eps=layers["Embedding-Norm"].epsilon,
            embedding_size=None if token.output_dim == hidden else token.output_dim,
            attention_head_size=None if usual else attention.head_size,
            attention_key_size=(
                None if attention.key_size == attention.head_size else attention.key_size
            ),
            pad_token_id=token.mask_value,
        )
