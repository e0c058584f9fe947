"""T5's graph (Raffel et al. 2019, arXiv:1910.10683), in bert4keras' names of layers.

An encoder and a decoder that normalise what enters each sublayer, know positions by bucketed
distances alone, and do not scale their scores.
"""

from __future__ import annotations

from kerasbert.layers import (
    Activation,
    Add,
    AttentionMask,
    Dropout,
    Embedding,
    FeedForward,
    MultiHeadCrossAttention,
    MultiHeadSelfAttention,
    RelativePositionBias,
    RMSNormalization,
    ScaleOffset,
    TruncatedNormal,
)
from kerasbert.models.t5_config import T5Config
from kerasbert.models.transformer import Transformer


class T5Graph(Transformer):
    """The encoder and the decoder of T5, as functions of symbolic tensors.

    Args:
        config: sizes and constants.
        with_lm: the output layer: True for softmax, an activation's name ("linear" for logits), or
            False: the output is the decoder's hidden states.
        cross_position_bias: whether attention to the source has the decoder's relative positions
            as well.
        **options: as :class:`Transformer`.
    """

    config_class = T5Config
    applications = ("encoder",)
    gelu = "gelu_tanh"

    def __init__(
        self,
        config: T5Config,
        *,
        with_lm: bool | str = True,
        cross_position_bias: bool = False,
        **options,
    ):
        super().__init__(config, **options)
        self.with_lm = with_lm
        self.cross_position_bias = cross_position_bias

    @classmethod
    def accepted_options(cls) -> set[str]:
        return super().accepted_options() - {"custom_position_ids"}  # there are only distances

    def attention_bias(self):
        """The additive mask of the source, for the encoder and for attention to it."""
        if self._attention_bias is None:
            layer = self.layer(
                AttentionMask, "Attention-Mask", pad_token_id=self.config.pad_token_id
            )
            if self.with_attention_mask:  # of the mask alone: a decoder has no source tokens
                mask = self.input("Encoder-Input-Mask")
                self._attention_bias = layer(mask, attention_mask=mask)
            else:
                self._attention_bias = layer(self.input("Encoder-Input-Token"))
        return self._attention_bias

    def encode(self):
        """The encoder's output, (batch, source length, hidden_size)."""
        x = self.embed("Encoder")
        bias = self.position_bias("Encoder")(x, x, attention_bias=self.attention_bias())
        for index in range(self.config.num_hidden_layers):
            block = f"Encoder-Transformer-{index}"
            x = self.attend(x, f"{block}-MultiHeadSelfAttention", attention_bias=bias)
            x = self.feed_forward(x, f"{block}-FeedForward")
        return self.finish(x, "Encoder")

    def decode(self, context, context_mask):
        """The model's output for an encoder's.

        Args:
            context: (batch, source length, hidden_size).
            context_mask: the additive mask of the source, (batch, 1, 1, source length), or None.
        """
        x = self.embed("Decoder")
        causal = self.layer(
            AttentionMask,
            "Attention-LM-Mask",
            pattern="lm",
            pad_token_id=self.config.pad_token_id,
        )(self.input("Decoder-Input-Token"))
        distance = self.position_bias("Decoder")
        bias, cross_bias = distance(x, x, attention_bias=causal), context_mask
        if self.cross_position_bias:
            cross_bias = distance(x, context, attention_bias=context_mask, across=True)
        for index in range(self.config.num_decoder_layers):
            block = f"Decoder-Transformer-{index}"
            x = self.attend(x, f"{block}-MultiHeadSelfAttention", attention_bias=bias)
            x = self.attend(
                x, f"{block}-MultiHeadCrossAttention", context=context, attention_bias=cross_bias
            )
            x = self.feed_forward(x, f"{block}-FeedForward")
        x = self.finish(x, "Decoder")
        if self.config.scale_decoder_outputs:
            x = self.layer(
                ScaleOffset,
                "Decoder-Output-Scale",
                scale=self.config.hidden_size**-0.5,
                offset=False,
            )(x)
        return self.apply_lm(x) if self.with_lm else x

    def embed(self, side: str):
        """The token vectors of the encoder or the decoder."""
        config = self.config
        table = self.layer(
            Embedding,
            "Embedding-Token",
            input_dim=config.vocab_size,
            output_dim=config.hidden_size,
            mask_value=config.pad_token_id,
            family=self.family,
            stddev=config.initializer_factor,
        )
        return self.dropout(table(self.input(f"{side}-Input-Token")), f"{side}-Embedding-Dropout")

    def position_bias(self, side: str) -> RelativePositionBias:
        """The layer that tells the distances of the encoder or the decoder apart."""
        return self.layer(
            RelativePositionBias,
            f"{side}-Embedding-Relative-Position",
            num_heads=self.config.num_attention_heads,
            num_buckets=self.config.relative_attention_num_buckets,
            max_distance=self.config.relative_attention_max_distance,
            bidirectional=side == "Encoder",
            stddev=self._stddev,
        )

    @property
    def _stddev(self) -> float:
        """Standard deviation of untrained kernels that hidden states enter."""
        return self.config.initializer_factor * self.config.hidden_size**-0.5

    def attend(self, x, name: str, **inputs):
        """Attention with all that surrounds it; to the context where one is given."""
        config = self.config
        layer = self.layer(
            MultiHeadCrossAttention if "context" in inputs else MultiHeadSelfAttention,
            name,
            num_heads=config.num_attention_heads,
            head_size=config.head_size,
            key_size=config.key_size,
            output_size=config.hidden_size,
            dropout=config.attention_probs_dropout_prob,
            use_bias=False,
            scale=1.0,
            stddev=self._stddev,
        )
        # Scores of untrained queries are of the size that scaled ones have elsewhere.
        layer.query.kernel_initializer = TruncatedNormal(self._stddev * config.key_size**-0.5)
        return self.add(x, layer(self.normalize(x, f"{name}-Norm"), **inputs), name)

    def feed_forward(self, x, name: str):
        """The feed-forward network with all that surrounds it."""
        config = self.config
        layer = self.layer(
            FeedForward,
            name,
            intermediate_size=config.intermediate_size,
            output_size=config.hidden_size,
            activation=self.feed_forward_activation,
            use_bias=False,
            stddev=self._stddev,
        )
        stddev = config.initializer_factor * config.intermediate_size**-0.5
        layer.output_dense.kernel_initializer = TruncatedNormal(stddev)
        return self.add(x, layer(self.normalize(x, f"{name}-Norm")), name)

    def add(self, x, change, name: str):
        """Dropout and sum after a sublayer."""
        change = self.dropout(change, f"{name}-Dropout")
        return self.layer(Add, f"{name}-Add")([x, change])

    def dropout(self, x, name: str):
        """Hidden-state dropout."""
        return self.layer(Dropout, name, rate=self.config.hidden_dropout_prob)(x)

    def normalize(self, x, name: str):
        """Normalisation without centring, with the configured epsilon."""
        return self.layer(RMSNormalization, name, epsilon=self.config.layer_norm_eps)(x)

    def finish(self, x, side: str):
        """What follows the last block."""
        return self.dropout(self.normalize(x, f"{side}-Output-Norm"), f"{side}-Output-Dropout")

    def apply_lm(self, x):
        """Scores over the vocabulary, by the token table or by a layer of their own."""
        table = self.layers["Embedding-Token"]
        if not self.config.tie_word_embeddings:
            table = self.layer(
                Embedding,
                "Decoder-Output-LM",
                input_dim=self.config.vocab_size,
                output_dim=self.config.hidden_size,
                mask_value=self.config.pad_token_id,
                stddev=self._stddev,
            )
        return self.layer(
            Activation,
            "Decoder-Output-LM-Activation",
            activation="softmax" if self.with_lm is True else self.with_lm,
            dtype="float32",
        )(table(x, reverse=True))
