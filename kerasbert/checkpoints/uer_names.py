"""UER-py (Zhao et al. 2019, arXiv:1909.05658): its names and settings, as Hugging Face has them.

Its BERT, ALBERT and XLM-R (or RoBERTa), as dbiir/UER-py and TencentPretrain save them, with the
names of 2019, of June 2021 (``nsp`` became ``sp``), of July 2023 (the embeddings) and of October
2023 (the heads). Row 0 of its segment table stands for padding, and its positions of XLM-R begin
with row 0.

Layer normalisation in UER-py divides by the unbiased standard deviation plus 1e-6, everywhere else
by the root of the variance plus an epsilon. What is loaded computes the latter, as do Hugging
Face's conversions of the same files: with a width n all factors differ by sqrt(1 - 1/n), which is
0.07% at 768. Nothing was published that notices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasbert.checkpoints.adapting import AdaptedTensors, Part, Rules, put, rewrite
from kerasbert.checkpoints.renaming import usual_names

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource

_WORDS = r"embedding\.(?:word_embedding|word\.embedding)\.weight"
_POSITIONS = r"embedding\.(?:position_embedding|pos\.embedding)\.weight"
_SEGMENTS = r"embedding\.(?:segment_embedding|seg\.embedding)\.weight"
_MLM, _SP = r"target\.mlm[._]linear_", r"target\.n?sp[._]linear_"
_SHARED = r"encoder\.transformer\.(?!\d)"  # followed by a block's parts: it is the only block


def _embeddings(root: str) -> Rules:
    return (
        (_WORDS, f"{root}.embeddings.word_embeddings.weight"),
        (_POSITIONS, f"{root}.embeddings.position_embeddings.weight"),
        (_SEGMENTS, f"{root}.embeddings.token_type_embeddings.weight"),
        (r"embedding\.layer_norm\.(weight|bias)", rf"{root}.embeddings.LayerNorm.\1"),
        (r"encoder\.linear\.(weight|bias)", rf"{root}.encoder.embedding_hidden_mapping_in.\1"),
    )


def _blocks(block: str, theirs: str, parts: Mapping[str, str]) -> Rules:
    return tuple((rf"{block}{part}\.(weight|bias)", theirs + to) for part, to in parts.items())


def _bert_like(root: str) -> Rules:
    """Rules of embeddings and blocks."""
    parts = {
        r"self_attn\.linear_layers\.0": r"attention.self.query.\2",
        r"self_attn\.linear_layers\.1": r"attention.self.key.\2",
        r"self_attn\.linear_layers\.2": r"attention.self.value.\2",
        r"self_attn\.final_linear": r"attention.output.dense.\2",
        r"layer_norm_1": r"attention.output.LayerNorm.\2",
        r"feed_forward\.linear_1": r"intermediate.dense.\2",
        r"feed_forward\.linear_2": r"output.dense.\2",
        r"layer_norm_2": r"output.LayerNorm.\2",
    }
    layer = rf"{root}.encoder.layer.\1."
    return (*_embeddings(root), *_blocks(r"encoder\.transformer\.(\d+)\.", layer, parts))


def _heads(dense: str, norm: str, bias: str, decoder: str) -> Rules:
    """Rules of the head of masked words."""
    return (
        (rf"{_MLM}1\.(weight|bias)", rf"{dense}.\1"),
        (r"target\.(?:mlm\.)?layer_norm\.(weight|bias)", rf"{norm}.\1"),
        (rf"{_MLM}2\.weight", decoder),
        (rf"{_MLM}2\.bias", bias),
    )


_BERT = (
    *_bert_like("bert"),
    *_heads(
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
        "cls.predictions.decoder.weight",
    ),
    (rf"(?:{_SP}|output_layer_)1\.(weight|bias)", r"bert.pooler.dense.\1"),
    (rf"{_SP}2\.(weight|bias)", r"cls.seq_relationship.\1"),
    (r"output_layer(?:_2)?\.(weight|bias)", r"classifier.\1"),
)
_ALBERT = (
    *_embeddings("albert"),
    *_blocks(
        _SHARED,
        "albert.encoder.albert_layer_groups.0.albert_layers.0.",
        {
            r"self_attn\.linear_layers\.0": r"attention.query.\1",
            r"self_attn\.linear_layers\.1": r"attention.key.\1",
            r"self_attn\.linear_layers\.2": r"attention.value.\1",
            r"self_attn\.final_linear": r"attention.dense.\1",
            r"layer_norm_1": r"attention.LayerNorm.\1",
            r"feed_forward\.linear_1": r"ffn.\1",
            r"feed_forward\.linear_2": r"ffn_output.\1",
            r"layer_norm_2": r"full_layer_layer_norm.\1",
        },
    ),
    *_heads(
        "predictions.dense", "predictions.LayerNorm", "predictions.bias",
        "predictions.decoder.weight",
    ),
    (rf"(?:{_SP}|output_layer_)1\.(weight|bias)", r"albert.pooler.\1"),
    (rf"{_SP}2\.(weight|bias)", r"sop_classifier.classifier.\1"),
    (r"output_layer(?:_2)?\.(weight|bias)", r"classifier.\1"),
)  # fmt: skip
_ROBERTA = (
    *_bert_like("roberta"),
    *_heads("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "lm_head.decoder.weight"),
    (r"output_layer_1\.(weight|bias)", r"classifier.dense.\1"),
    (r"output_layer_2\.(weight|bias)", r"classifier.out_proj.\1"),
    (r"output_layer\.(weight|bias)", r"classifier.\1"),
)
# By family: the rules, and the segment that Hugging Face's first row is.
_FAMILIES = {"bert": (_BERT, 1), "albert": (_ALBERT, 1), "roberta": (_ROBERTA, 2)}


def recognise(source: TensorSource) -> bool:
    """Whether tensors are named as those of a BERT-like model of UER-py.

    Its GPT, T5, BART and others, whose names are similar, have no segments or a decoder.

    Args:
        source: the stored tensors.
    """
    names = list(usual_names(source.shapes))
    needed = (_WORDS, _POSITIONS, _SEGMENTS, r"encoder\.transformer\.(0\.)?layer_norm_1\.weight")
    found = all(any(rewrite(name, [(mark, "")]) is not None for name in names) for mark in needed)
    return found and not any(name.startswith("decoder.") for name in names)


def adapt(source: TensorSource, config: Mapping[str, Any] | None = None) -> AdaptedTensors:
    """The tensors under the names of Hugging Face's BERT, ALBERT or RoBERTa.

    Names do not tell BERT from XLM-R. XLM-R ends with two rows of zeros in its position table, for
    its positions are two less than there are rows; so small a table is read at once. The rows in
    front, which Hugging Face has for padding, are zeros here.

    The matrix behind the head of masked words is taken to be the token table, as everywhere.

    Args:
        source: the stored tensors, which :func:`recognise` accepts.
        config: what lies beside them, UER-py's settings or Hugging Face's. A ``model_type`` in it
            decides on the family.

    Returns:
        The same tensors; those without a name in the family keep theirs. Their ``config`` is the
        given one, as Hugging Face's.

    Raises:
        CheckpointFormatError: a tensor has not the shape that its name asks for.
    """
    names = usual_names(source.shapes)
    if config is not None and is_config(config):
        config = read_config(config)
    rules, first_segment = _FAMILIES[_family(source, names, config or {})]
    parts: dict[str, Part | np.ndarray] = {}
    for name, stored in names.items():
        options: dict[str, Any] = {}
        if rewrite(name, [(_SEGMENTS, "")]) is not None:
            options = {"rows": (first_segment, None)}
        elif rules is _ROBERTA and rewrite(name, [(_POSITIONS, "")]) is not None:
            options = {"rows": (0, -2), "zero_rows": 2}
        put(parts, rewrite(name, rules), Part(stored, **options))
    return AdaptedTensors(source, parts, config)


def _family(source: TensorSource, names: Mapping[str, str], config: Mapping[str, Any]) -> str:
    said = {"xlm-roberta": "roberta"}.get(config.get("model_type"), config.get("model_type"))
    if said in _FAMILIES:
        return said
    if any(name.startswith("encoder.transformer.self_attn.") for name in names):
        return "albert"
    if any(rewrite(name, [(rf"{_SP}.*", "")]) is not None for name in names):
        return "bert"  # XLM-R was not trained on pairs
    stored = next(names[name] for name in names if rewrite(name, [(_POSITIONS, "")]) is not None)
    positions = np.asarray(source.read([stored])[stored])
    ends_with_zeros = positions.ndim == 2 and len(positions) > 2 and not positions[-2:].any()
    return "roberta" if ends_with_zeros else "bert"


# Its activation functions by name (uer/utils/act_fun.py).
_ACTIVATIONS = {"gelu": "gelu_erf", "gelu_fast": "gelu_tanh"}
_SIZES = {
    "hidden_size": "hidden_size",
    "layers_num": "num_hidden_layers",
    "heads_num": "num_attention_heads",
    "feedforward_size": "intermediate_size",
    "attention_head_size": "attention_head_size",
    "max_seq_length": "max_position_embeddings",
}


def is_config(values: Mapping[str, Any]) -> bool:
    """Whether settings are those of UER-py."""
    return {"emb_size", "layers_num", "heads_num"} <= values.keys()


def read_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """UER-py's settings under Hugging Face's names.

    They do not say the sizes of the vocabulary and of the segment table, nor in early files the
    number of positions: the tensors do. The epsilon is the family's own.

    Args:
        values: the content of a ``config.json`` such as ``models/bert/base_config.json``.

    Returns:
        Settings that the families read. Keys without a name there are left out.
    """
    found = {to: values[key] for key, to in _SIZES.items() if values.get(key) is not None}
    if values.get("parameter_sharing"):
        found["model_type"] = "albert"
    if values.get("emb_size") is not None and values["emb_size"] != values.get("hidden_size"):
        found["embedding_size"] = values["emb_size"]
    activation = values.get("hidden_act")
    if activation is not None:
        found["hidden_act"] = _ACTIVATIONS.get(activation, activation)
    if values.get("dropout") is not None:
        found["hidden_dropout_prob"] = found["attention_probs_dropout_prob"] = values["dropout"]
    return found
