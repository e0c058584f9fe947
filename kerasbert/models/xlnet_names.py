"""How XLNet is published: the spellings of its json, and the names of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerasbert.checkpoints import huggingface as hf
from kerasbert.checkpoints.mapping import NameTable, Op, Row, dense, norm
from kerasbert.config import ConfigError, TransformerConfig

BLOCK, ATTENTION = "Transformer-{i}", "Transformer-{i}-MultiHeadSelfAttention"
TIED_BIAS = "Transformer-QueryBias"

_SPELLINGS = {
    "n_token": "vocab_size",
    "d_model": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "d_head": "attention_head_size",
    "d_inner": "intermediate_size",
    "ff_activation": "hidden_act",
}


@dataclass(frozen=True)
class XLNetConfig(TransformerConfig):
    """Sizes and constants of an XLNet; also reads the spellings of ``xlnet_config.json``.

    Attributes:
        untie_r: whether every block has query biases of its own, as in all releases.
        clamp_len: distances beyond this many tokens count as this many; -1 for any distance.
    """

    pad_token_id: int = 5
    untie_r: bool = True
    clamp_len: int = -1

    aliases = {
        **TransformerConfig.aliases,
        **_SPELLINGS,
        "dropout": "hidden_dropout_prob",
        "dropatt": "attention_probs_dropout_prob",
    }

    def __post_init__(self):
        super().__post_init__()
        self._check_integer("clamp_len", minimum=-1)
        if self.type_vocab_size == 0:
            raise ConfigError(
                "XLNet has no table of segments but compares them, and its segment input cannot be "
                "left out: type_vocab_size (segment_vocab_size) must not be 0. For texts without "
                "segments give zeros."
            )
        # What XLNet's or Hugging Face's code could do and no release does.
        values = {**self.extra, "embedding_size": self.embedding_size}
        values.update(attention_key_size=self.attention_key_size)
        only = {"attn_type": "bi", "bi_data": False}
        for key in ("attn_type", "bi_data", "embedding_size", "attention_key_size"):
            if values.get(key) not in (None, only.get(key)):
                raise ConfigError(
                    f"{key} of an XLNet can only be {only.get(key)!r}, as in every release. "
                    f"Received: {values[key]!r}"
                )
        if not isinstance(self.hidden_act, str):
            raise ConfigError(f"XLNet has one activation. Received: {self.hidden_act!r}")

    def to_dict(self) -> dict[str, Any]:
        """The content of an ``xlnet_config.json``."""
        values = {**super().to_dict(), "attention_head_size": self.head_size}
        for name in ("type_vocab_size", "max_position_embeddings"):  # there are no such tables
            del values[name]
        spelt = {field: key for key, field in _SPELLINGS.items()}
        return {spelt.get(name, name): value for name, value in values.items()}


_PROJECTIONS = {"query": "q", "key": "k", "value": "v", "position": "r", "output": "o"}
_BIASES = {"content_bias": "r_w_bias", "position_bias": "r_r_bias", "segment_bias": "r_s_bias"}


def _google_rows() -> tuple[Row, ...]:
    """Google's names; biases and segment embeddings of all blocks lie in one tensor each."""
    root = "model/transformer"
    layer = f"{root}/layer_{{i}}"
    rows = [
        Row("Embedding-Token/embeddings", f"{root}/word_embedding/lookup_table", Op.TOKENS),
        Row("Embedding-Mask/embeddings", f"{root}/mask_emb/mask_emb"),
        Row(f"{ATTENTION}/segment_embeddings", f"{root}/seg_embed", Op.STACKED),
        *norm(f"{ATTENTION}-Norm", f"{layer}/rel_attn/LayerNorm"),
        *dense(f"{BLOCK}-FeedForward/intermediate", f"{layer}/ff/layer_1"),
        *dense(f"{BLOCK}-FeedForward/output", f"{layer}/ff/layer_2"),
        *norm(f"{BLOCK}-FeedForward-Norm", f"{layer}/ff/LayerNorm"),
        *dense("Pooler-Dense", "model/sequnece_summary/summary"),  # spelt so
        Row("MLM-Bias/bias", "model/lm_loss/bias", Op.TOKENS),
    ]
    for ours, theirs in _PROJECTIONS.items():
        rows.append(Row(f"{ATTENTION}/{ours}/kernel", f"{layer}/rel_attn/{theirs}/kernel"))
    for ours, theirs in _BIASES.items():
        rows.append(Row(f"{BLOCK}-QueryBias/{ours}", f"{root}/{theirs}", Op.STACKED))
        rows.append(Row(f"{TIED_BIAS}/{ours}", f"{root}/{theirs}"))
    return tuple(rows)


def _huggingface_rows() -> tuple[Row, ...]:
    """Hugging Face's names, with everything of a block in that block."""
    layer = "transformer.layer.{i}"
    rows = [
        Row("Embedding-Token/embeddings", "transformer.word_embedding.weight", Op.TOKENS),
        Row("Embedding-Mask/embeddings", "transformer.mask_emb"),
        Row(f"{ATTENTION}/segment_embeddings", f"{layer}.rel_attn.seg_embed"),
        *hf.norm(f"{ATTENTION}-Norm", f"{layer}.rel_attn.layer_norm"),
        *hf.linear(f"{BLOCK}-FeedForward/intermediate", f"{layer}.ff.layer_1"),
        *hf.linear(f"{BLOCK}-FeedForward/output", f"{layer}.ff.layer_2"),
        *hf.norm(f"{BLOCK}-FeedForward-Norm", f"{layer}.ff.layer_norm"),
        *hf.linear("Pooler-Dense", "sequence_summary.summary"),
        Row("MLM-Bias/bias", "lm_loss.bias", Op.TOKENS),
    ]
    for ours, theirs in _PROJECTIONS.items():
        rows.append(Row(f"{ATTENTION}/{ours}/kernel", f"{layer}.rel_attn.{theirs}"))
    for ours, theirs in _BIASES.items():
        rows.append(Row(f"{BLOCK}-QueryBias/{ours}", f"{layer}.rel_attn.{theirs}"))
    return tuple(rows)


TABLES = (
    NameTable(
        "google",
        _google_rows(),
        optional=(
            r"model/lm_loss/bias",
            r"model/transformer/mask_emb/mask_emb",
            # what Google's fine-tuning adds
            r"model/(model/)?sequnece_summary/.*",
            r"model/(classification|regression)_[^/]*/.*",
            r"(start_logits|end_logits|answer_class)/.*",
        ),
    ),
    NameTable(
        "huggingface",
        _huggingface_rows(),
        optional=(
            r"lm_loss\..*",  # its weight is a copy of the token table
            r"(transformer\.)?mask_emb",
            r"(sequence_summary|logits_proj|classifier|qa_outputs)\..*",
            r"(start_logits|end_logits|answer_class)\..*",
        ),
        root="transformer.",
    ),
)
