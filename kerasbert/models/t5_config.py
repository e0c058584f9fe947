"""T5's sizes and constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kerasbert.config import ConfigError, TransformerConfig

VERSIONS = ("t5.1.0", "t5.1.1", "mt5.1.1")


@dataclass(frozen=True)
class T5Config(TransformerConfig):
    """Sizes and constants of a T5, in the spellings of Hugging Face's and bert4keras' json.

    What is left out follows the version: 1.0 has relu and the token table as its output layer; 1.1
    and mT5 have a gated gelu and an output layer of their own.

    Attributes:
        hidden_act: activation of the feed-forward network, or two for a gated one: ["gelu",
            "linear"] (bert4keras), "gated-gelu" (Hugging Face's ``feed_forward_proj``).
        num_decoder_layers: number of the decoder's blocks; None is ``num_hidden_layers``.
        relative_attention_num_buckets: rows of the tables of relative positions.
        relative_attention_max_distance: distances from here on share a bucket.
        tie_word_embeddings: whether the output layer is the token table.
        scale_decoder_outputs: whether the decoder's output is multiplied by hidden_size ** -0.5;
            None: where the output layer is the token table. bert4keras does so always.
        initializer_factor: of T5's own standard deviations of untrained weights
            (``initializer_range`` is not used).
        version: "t5.1.0", "t5.1.1" or "mt5.1.1": only for what is left out.
    """

    hidden_act: str | Sequence[str] | None = None
    attention_probs_dropout_prob: float | None = None  # as hidden_dropout_prob
    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-6
    num_decoder_layers: int | None = None
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    tie_word_embeddings: bool | None = None
    scale_decoder_outputs: bool | None = None
    initializer_factor: float = 1.0
    version: str | None = None

    aliases: ClassVar[Mapping[str, str]] = {
        **TransformerConfig.aliases,
        "d_model": "hidden_size",
        "d_kv": "attention_head_size",
        "d_ff": "intermediate_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "feed_forward_proj": "hidden_act",
    }

    def __post_init__(self):
        if self.version not in (None, *VERSIONS):
            raise ConfigError(
                f"version must be one of {', '.join(VERSIONS)}. Received: {self.version!r}"
            )
        later = self.version in VERSIONS[1:]
        activation = self.hidden_act
        if activation is None:
            activation = ("gelu", "linear") if later else "relu"
        elif isinstance(activation, str) and activation.startswith("gated-"):
            activation = (activation[len("gated-") :], "linear")
        self._set("hidden_act", activation)
        if self.attention_probs_dropout_prob is None:
            self._set("attention_probs_dropout_prob", self.hidden_dropout_prob)
        super().__post_init__()
        if self.tie_word_embeddings is None:
            self._set("tie_word_embeddings", not (later or self.gated))
        if self.scale_decoder_outputs is None:
            self._set("scale_decoder_outputs", self.tie_word_embeddings)
        if self.num_decoder_layers is None:
            self._set("num_decoder_layers", self.num_hidden_layers)
        for name, minimum in (("num_decoder_layers", 1), ("relative_attention_num_buckets", 4),
                              ("relative_attention_max_distance", 1)):  # fmt: skip
            self._check_integer(name, minimum)
        if self.embedding_width != self.hidden_size:
            raise ConfigError(
                "The embeddings of a T5 are as wide as its hidden states. Received: "
                f"embedding_size {self.embedding_size}, hidden_size {self.hidden_size}"
            )

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def gated(self) -> bool:
        """Whether the feed-forward networks are gated."""
        return not isinstance(self.hidden_act, str)

    def to_dict(self) -> dict[str, Any]:
        """The content of a json that bert4keras reads as well."""
        values = super().to_dict()
        for name in ("max_position_embeddings", "type_vocab_size", "initializer_range",
                     "initializer_factor", "version"):  # fmt: skip
            del values[name]
        if self.num_decoder_layers == self.num_hidden_layers:
            del values["num_decoder_layers"]
        if self.scale_decoder_outputs == self.tie_word_embeddings:
            del values["scale_decoder_outputs"]
        return values
