"""fairseq (Ott et al. 2019, arXiv:1904.01038): RoBERTa and XLM-R as they were first released.

The names of 2019 and 2020 begin with ``decoder.``, later ones with ``encoder.``; the oldest files
hold query, key and value as one matrix. There is no table of segments: the single row that Hugging
Face has instead is zeros. XLM-R XL and XXL normalise before each sublayer.

The vocabulary, ``dict.txt``, is read by ``kerasbert.tokenizers``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasbert.checkpoints.adapting import AdaptedTensors, Part, Rules, put, rewrite
from kerasbert.checkpoints.renaming import usual_names
from kerasbert.checkpoints.unpickling import Record

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource

Shapes = Mapping[str, tuple[int, ...]]

_ROOT = r"(?:en|de)coder\."
_BODY = rf"{_ROOT}sentence_encoder\."
_LAYER, _TO_LAYER = rf"{_BODY}layers\.(\d+)\.", r"roberta.encoder.layer.\1."
_WORDS = "roberta.embeddings.word_embeddings.weight"
_SEGMENTS = "roberta.embeddings.token_type_embeddings.weight"
_STACKED = rf"{_LAYER}self_attn\.in_proj_(weight|bias)"
_LAST_NORM = rf"{_BODY}layer_norm\.(weight|bias)"
_HEAD = r"classification_heads\.(.+)\.(dense|out_proj)\.(weight|bias)"
# Constants that a module keeps beside its weights.
_BUFFERS = rf"{_BODY}(version|embed_positions\._float_tensor)"


def _rules(attention_norm: str, feed_forward_norm: str) -> Rules:
    """Rules with the names that the norms of a block have."""
    parts = {
        r"self_attn\.q_proj": "attention.self.query",
        r"self_attn\.k_proj": "attention.self.key",
        r"self_attn\.v_proj": "attention.self.value",
        r"self_attn\.out_proj": "attention.output.dense",
        r"self_attn_layer_norm": attention_norm,
        r"fc1": "intermediate.dense",
        r"fc2": "output.dense",
        r"final_layer_norm": feed_forward_norm,
    }
    return (
        (rf"{_BODY}embed_tokens\.weight", _WORDS),
        (rf"{_BODY}embed_positions\.weight", "roberta.embeddings.position_embeddings.weight"),
        (rf"{_BODY}segment_embeddings\.weight", _SEGMENTS),
        (
            rf"{_BODY}(?:emb_layer_norm|layernorm_embedding)\.(weight|bias)",
            r"roberta.embeddings.LayerNorm.\1",
        ),
        *(
            (rf"{_LAYER}{part}\.(weight|bias)", rf"{_TO_LAYER}{to}.\2")
            for part, to in parts.items()
        ),
        (_LAST_NORM, r"roberta.encoder.LayerNorm.\1"),
        (rf"{_ROOT}lm_head\.weight", "lm_head.decoder.weight"),
        (rf"{_ROOT}lm_head\.(bias|(?:dense|layer_norm)\.(?:weight|bias))", r"lm_head.\1"),
    )


_AFTER = _rules("attention.output.LayerNorm", "output.LayerNorm")
_BEFORE = _rules("attention.self_attn_layer_norm", "LayerNorm")


def recognise(source: TensorSource) -> bool:
    """Whether tensors are named as those of fairseq's RoBERTa.

    Args:
        source: the stored tensors.
    """
    pattern = rf"{_BODY}(embed_tokens\.weight|layers\.0\.fc1\.weight)"
    return sum(re.fullmatch(pattern, name) is not None for name in usual_names(source.shapes)) == 2


def adapt(source: TensorSource, config: Mapping[str, Any] | None = None) -> AdaptedTensors:
    """The tensors under the names of Hugging Face's RoBERTa or XLM-R XL.

    The matrix behind the head of masked words is taken to be the token table, as everywhere. A head
    of classification is ``classifier``, and among several each has its own name after that.

    Args:
        source: the stored tensors, which :func:`recognise` accepts. Its ``extras``, where it has
            them, are as of :func:`read_config`.
        config: what lies beside them, as Hugging Face's; it has the last word.

    Returns:
        The same tensors, with query, key and value apart, and one segment of zeros; those without a
        name in the family keep theirs. Their ``config`` is that of the file and the given one.

    Raises:
        CheckpointFormatError: a tensor has not the shape that its name asks for.
    """
    names = usual_names(source.shapes)
    rules = _BEFORE if _normalises_before(names) else _AFTER
    heads = {match[1] for match in (re.fullmatch(_HEAD, name) for name in names) if match}
    parts: dict[str, Part | np.ndarray] = {}
    for name, stored in names.items():
        if re.fullmatch(_BUFFERS, name):
            continue
        stacked, head = re.fullmatch(_STACKED, name), re.fullmatch(_HEAD, name)
        if stacked:
            for third, part in _thirds(source, stored, stacked).items():
                put(parts, third, part)
        elif head:
            middle = "" if len(heads) == 1 else f"{head[1]}."
            put(parts, f"classifier.{middle}{head[2]}.{head[3]}", Part(stored))
        else:
            put(parts, rewrite(name, rules), Part(stored))
    if _SEGMENTS not in parts:
        width = (source.shapes[parts[_WORDS].stored] or (0,))[-1]
        parts[_SEGMENTS] = np.zeros((1, width), np.float32)
    settings = read_config(getattr(source, "extras", {}), source.shapes)
    return AdaptedTensors(source, parts, {**settings, **(config or {})})


def _normalises_before(names: Mapping[str, str]) -> bool:
    return any(re.fullmatch(_LAST_NORM, name) for name in names)


def _thirds(source: TensorSource, stored: str, match: re.Match) -> dict[str, Part]:
    """Query, key and value, which are stored as one, in this order."""
    rows = (source.shapes[stored] or (0,))[0]
    bounds = [rows * i // 3 for i in range(4)]
    return {
        match.expand(rf"{_TO_LAYER}attention.self.{name}.\2"): Part(stored, rows=(start, stop))
        for name, start, stop in zip(("query", "key", "value"), bounds, bounds[1:])
    }


# ------------------------------------------------------------------------------------- settings

_SIZES = {
    "encoder_embed_dim": "hidden_size",
    "encoder_layers": "num_hidden_layers",
    "encoder_attention_heads": "num_attention_heads",
    "encoder_ffn_embed_dim": "intermediate_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
}
# Its activation functions by name (fairseq/utils.py).
_ACTIVATIONS = {"gelu": "gelu_erf", "gelu_accurate": "gelu_tanh", "gelu_fast": "gelu_tanh"}
# By width, where heads are wider than the 64 of all others: XLM-R XL and XXL.
_WIDER_HEADS = {2560: 32, 4096: 32}


def read_config(extras: Mapping[str, Any], shapes: Shapes | None = None) -> dict[str, Any]:
    """The settings in a file of fairseq under Hugging Face's names.

    Args:
        extras: what lies beside the weights: ``args`` (until 2020) or ``cfg`` with its ``model``,
            each a mapping, an object with attributes, or the record of one. Without them (a file
            that was stripped) the number of heads is that of the published models of this width.
        shapes: of the stored tensors.

    Returns:
        Settings that the families read; sizes that the tensors say are left to them.
    """
    said = _as_mapping(_as_mapping(extras.get("cfg")).get("model")) or _as_mapping(
        extras.get("args")
    )
    names = usual_names(shapes or {})
    before = _normalises_before(names) or said.get("encoder_normalize_before") is True
    found: dict[str, Any] = {
        "model_type": "xlm-roberta-xl" if before else "roberta",
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
    }
    found.update((to, said[key]) for key, to in _SIZES.items() if said.get(key) is not None)
    activation = said.get("activation_fn")
    if activation is not None:
        found["hidden_act"] = _ACTIVATIONS.get(activation, activation)
    words = [stored for name, stored in names.items() if rewrite(name, _AFTER[:1]) is not None]
    width = (shapes[words[0]] or (0,))[-1] if words else found.get("hidden_size")
    if "num_attention_heads" not in found and width and width % 64 == 0:
        found["num_attention_heads"] = _WIDER_HEADS.get(width, width // 64)
    return found


def _as_mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, or the attributes of an object, such as an ``argparse.Namespace``; else empty."""
    if isinstance(value, Record):
        value = value.state
    return value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
