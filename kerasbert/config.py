"""The configuration of a model: what its json says, checked, under one set of names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kerasbert.layers.activations import canonical_names


class ConfigError(ValueError):
    """A configuration that is incomplete or contradicts itself."""


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and constants of a BERT-like encoder, under the names of Google's ``bert_config.json``.

    Defaults are those of the released graphs, except for sizes that have none.

    Attributes:
        vocab_size: rows of the token table.
        hidden_size: width of the hidden states.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads per block.
        intermediate_size: width inside the feed-forward network.
        hidden_act: activation; "gelu" means the form that the family's published graphs use. Two of
            them gate the feed-forward network.
        hidden_dropout_prob: dropout rate of hidden states, 0 to 1.
        attention_probs_dropout_prob: dropout rate of attention probabilities, 0 to 1.
        max_position_embeddings: rows of the position table.
        type_vocab_size: rows of the segment table; 0 leaves segments out.
        initializer_range: standard deviation of untrained kernels.
        layer_norm_eps: epsilon of layer normalisation.
        embedding_size: width of the embeddings; None is ``hidden_size``.
        attention_head_size: width of a head's values; None is ``hidden_size /
            num_attention_heads``.
        attention_key_size: width of a head's queries and keys; None is ``attention_head_size``.
        pad_token_id: id of the padding token; None, in GPTs alone, where no id stands for it.
        extra: keys of the file that mean nothing here, kept for writing it back.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str | Sequence[str] = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    embedding_size: int | None = None
    attention_head_size: int | None = None
    attention_key_size: int | None = None
    pad_token_id: int | None = 0
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)

    # Fields whose null in a json is a value; of others it means that nothing is said.
    nullable: ClassVar[frozenset[str]] = frozenset()
    # Other spellings of the fields; a family's subclass may add its own.
    aliases: ClassVar[Mapping[str, str]] = {
        # bert4keras' keyword arguments
        "max_position": "max_position_embeddings",
        "dropout_rate": "hidden_dropout_prob",
        "attention_dropout_rate": "attention_probs_dropout_prob",
        "segment_vocab_size": "type_vocab_size",
        # met in published files
        "layer_norm_epsilon": "layer_norm_eps",
    }

    def __post_init__(self):
        for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                     "intermediate_size", "max_position_embeddings"):  # fmt: skip
            self._check_integer(name, minimum=1)
        self._check_integer("type_vocab_size", minimum=0)
        if self.pad_token_id is not None or "pad_token_id" not in self.nullable:
            self._check_integer("pad_token_id", minimum=0)
        for name in ("embedding_size", "attention_head_size", "attention_key_size"):
            if getattr(self, name) is not None:
                self._check_integer(name, minimum=1)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, name)
            if value is None:
                object.__setattr__(self, name, 0.0)
            elif not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise ConfigError(f"{name} must be a rate from 0 to below 1. Received: {value!r}")
        canonical_names(self.hidden_act, gelu="gelu_erf")
        if isinstance(self.hidden_act, list):  # as json has it
            names = self.hidden_act
            object.__setattr__(self, "hidden_act", tuple(names) if len(names) > 1 else names[0])
        if self.attention_head_size is None and self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}. Correct one of them, or give attention_head_size."
            )

    def _check_integer(self, name: str, minimum: int) -> None:
        value = getattr(self, name)
        if isinstance(value, float) and value.is_integer():  # "12.0" of hand-written files
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ConfigError(
                f"{name} must be an integer of at least {minimum}. Received: {value!r}"
            )
        object.__setattr__(self, name, value)

    @property
    def embedding_width(self) -> int:
        """Width of the embeddings."""
        return self.embedding_size or self.hidden_size

    @property
    def maps_embeddings(self) -> bool:
        """Whether a projection to ``hidden_size`` follows the embeddings."""
        return self.embedding_width != self.hidden_size

    @property
    def head_size(self) -> int:
        """Width of one head's values."""
        return self.attention_head_size or self.hidden_size // self.num_attention_heads

    @property
    def key_size(self) -> int:
        """Width of one head's queries and keys."""
        return self.attention_key_size or self.head_size

    @classmethod
    def field_names(cls) -> frozenset[str]:
        """The names of all fields but ``extra``."""
        return frozenset(f.name for f in dataclasses.fields(cls)) - {"extra"}

    @classmethod
    def canonical_key(cls, key: str) -> str:
        """The field that a spelling means; an unknown one is returned as it is."""
        return cls.aliases.get(key, key)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the configuration"):
        """Reads a configuration from json values in any of the known spellings.

        Args:
            values: the file's content; keys that mean nothing here are kept in ``extra``.
            source: named in errors.

        Raises:
            ConfigError: when a size is missing or a value is impossible.
        """
        known = cls.field_names()
        fields_, extra = {}, dict(values.get("extra") or {})
        for key, value in values.items():
            name = cls.canonical_key(key)
            if name in known:
                fields_[name] = value
            elif key != "extra":
                extra[key] = value
        required = [
            f.name
            for f in dataclasses.fields(cls)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        missing = [name for name in required if fields_.get(name) is None]
        if missing:
            raise ConfigError(
                f"{source} lacks {', '.join(missing)}. Give them as keyword arguments, such as "
                f"{missing[0]}=..., or in the config. Received keys: {sorted(values)}"
            )
        return cls(**fields_, extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """The content of a ``bert_config.json``; sizes that are only defaults are left out."""
        optional = ("embedding_size", "attention_head_size", "attention_key_size")
        values = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "extra"
        }
        for name in optional:
            if values[name] is None:
                del values[name]
        if isinstance(self.hidden_act, tuple):
            values["hidden_act"] = list(self.hidden_act)
        # Readers of Google's format know neither key: write them only where they say something.
        if self.layer_norm_eps == type(self).layer_norm_eps:
            del values["layer_norm_eps"]
        if self.pad_token_id == 0:
            del values["pad_token_id"]
        return {**self.extra, **values}
