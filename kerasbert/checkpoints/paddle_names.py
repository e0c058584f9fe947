"""Paddle: names and settings of PaddleNLP and of Baidu's ERNIE, as Hugging Face has them.

PaddleNLP's BERT, ERNIE (1.0 to 3.0, RocketQA, UIE), RoBERTa, ALBERT and ELECTRA, and the files of
the repository PaddlePaddle/ERNIE (``word_emb``, ``encoder_stack``). Projections are stored as
(in, out), the transpose of Hugging Face's. What Paddle's RoBERTa calls by that name is HFL's, a
BERT, unless it has one segment only.

ERNIE's older variables with underscores (``encoder_layer_0_multi_head_att_query_fc.w_0``) are a
table of that family and need no adapting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kerasbert.checkpoints.adapting import AdaptedTensors, Part, Rules, put, rewrite
from kerasbert.checkpoints.renaming import usual_names

if TYPE_CHECKING:
    from kerasbert.checkpoints.loading import TensorSource

# What stands in front of the body's names, in Paddle and in Hugging Face's tables. UIE calls its
# body `encoder`. A body of another name gets none: its configuration decides on the family.
_ROOTS = {
    "bert.": "bert.",
    "ernie.": "ernie.",
    "encoder.": "ernie.",
    "roberta.": "roberta.",
    "electra.": "electra.",
    "roformer.": "roformer.",
    "transformer.": "albert.",
}
_WORDS = re.compile(r"(.*?)embeddings\.word_embeddings\.weight")
_OLD_WORDS = "word_emb.weight"
_END = r"(weight|bias)"

# Projections, after the root. \1 is the root.
_LINEAR: Rules = (
    (rf"encoder\.layers\.(\d+)\.self_attn\.q_proj\.{_END}",
     r"encoder.layer.\1.attention.self.query.\2"),
    (rf"encoder\.layers\.(\d+)\.self_attn\.k_proj\.{_END}",
     r"encoder.layer.\1.attention.self.key.\2"),
    (rf"encoder\.layers\.(\d+)\.self_attn\.v_proj\.{_END}",
     r"encoder.layer.\1.attention.self.value.\2"),
    (rf"encoder\.layers\.(\d+)\.self_attn\.out_proj\.{_END}",
     r"encoder.layer.\1.attention.output.dense.\2"),
    (rf"encoder\.layers\.(\d+)\.linear1\.{_END}", r"encoder.layer.\1.intermediate.dense.\2"),
    (rf"encoder\.layers\.(\d+)\.linear2\.{_END}", r"encoder.layer.\1.output.dense.\2"),
    (rf"(encoder\.albert_layer_groups\..+\.(?:query|key|value|dense|ffn|ffn_output))\.{_END}",
     r"\1.\2"),
    (rf"(encoder\.embedding_hidden_mapping_in|embeddings_project|pooler(?:\.dense)?)\.{_END}",
     r"\1.\2"),
)  # fmt: skip
_PLAIN: Rules = (
    (r"(embeddings\.(?:word|position|token_type|task_type)_embeddings\.weight)", r"\1"),
    (r"embeddings\.position_ids", "embeddings.position_ids"),
    (rf"embeddings\.layer_norm\.{_END}", r"embeddings.LayerNorm.\1"),
    (rf"encoder\.layers\.(\d+)\.norm1\.{_END}",
     r"encoder.layer.\1.attention.output.LayerNorm.\2"),
    (rf"encoder\.layers\.(\d+)\.norm2\.{_END}", r"encoder.layer.\1.output.LayerNorm.\2"),
    (rf"(encoder\.albert_layer_groups\..+\.attention)\.layer_norm\.{_END}", r"\1.LayerNorm.\2"),
    (rf"(encoder\.albert_layer_groups\..+\.full_layer_layer_norm)\.{_END}", r"\1.\2"),
)  # fmt: skip

# Heads, which have no root.
_LINEAR_HEADS: Rules = (
    (rf"cls\.predictions\.transform\.{_END}", r"cls.predictions.transform.dense.\1"),
    (rf"(cls\.seq_relationship|classifier(?:\.\w+)?|sop_classifier\.classifier)\.{_END}",
     r"\1.\2"),
    (rf"((?:discriminator|generator)_predictions\.dense(?:_prediction)?)\.{_END}", r"\1.\2"),
    (r"(generator_lm_head\.weight)", r"\1"),
    (rf"(predictions\.dense|lm_head\.dense)\.{_END}", r"\1.\2"),
    (r"(lm_head\.decoder\.weight)", r"\1"),
    (rf"(linear_(?:start|end))\.{_END}", r"qa_outputs.\1.\2"),  # UIE
)  # fmt: skip
_PLAIN_HEADS: Rules = (
    (rf"cls\.predictions\.layer_norm\.{_END}", r"cls.predictions.transform.LayerNorm.\1"),
    (r"cls\.predictions\.decoder[_.](weight)", r"cls.predictions.decoder.\1"),
    (r"cls\.predictions\.decoder[_.]bias", "cls.predictions.bias"),
    (rf"predictions\.layer_norm\.{_END}", r"predictions.LayerNorm.\1"),
    (rf"(predictions\.(?:bias|decoder\.{_END}))", r"\1"),
    (rf"generator_predictions\.(?:layer_norm|LayerNorm)\.{_END}",
     r"generator_predictions.LayerNorm.\1"),
    (r"generator_lm_head[_.]bias", "generator_lm_head.bias"),
    (rf"(lm_head\.layer_norm)\.{_END}", r"\1.\2"),
    (r"lm_head\.decoder\.bias", "lm_head.bias"),
)  # fmt: skip
# HFL's RoBERTa has RoBERTa's head in Paddle, and is BERT otherwise.
_HEAD_OF_BERT: Rules = (
    (r"lm_head\.dense\.(.+)", r"cls.predictions.transform.dense.\1"),
    (r"lm_head\.layer_norm\.(.+)", r"cls.predictions.transform.LayerNorm.\1"),
    (r"lm_head\.(bias|decoder\.weight)", r"cls.predictions.\1"),
)

# The repository PaddlePaddle/ERNIE.
_OLD_LINEAR: Rules = (
    *(
        (rf"encoder_stack\.block\.(\d+)\.{part}\.{_END}", rf"ernie.encoder.layer.\1.{to}.\2")
        for part, to in (
            (r"attn\.q", "attention.self.query"),
            (r"attn\.k", "attention.self.key"),
            (r"attn\.v", "attention.self.value"),
            (r"attn\.o", "attention.output.dense"),
            (r"ffn\.i", "intermediate.dense"),
            (r"ffn\.o", "output.dense"),
        )
    ),
    (rf"pooler\.{_END}", r"ernie.pooler.dense.\1"),
    (rf"mlm\.{_END}", r"cls.predictions.transform.dense.\1"),
    (rf"nsp\.{_END}", r"cls.seq_relationship.\1"),
    (rf"(classifier)\.{_END}", r"\1.\2"),
)
_OLD_PLAIN: Rules = (
    (r"word_emb\.weight", "ernie.embeddings.word_embeddings.weight"),
    (r"pos_emb\.weight", "ernie.embeddings.position_embeddings.weight"),
    (r"sent_emb\.weight", "ernie.embeddings.token_type_embeddings.weight"),
    (r"task_emb\.weight", "ernie.embeddings.task_type_embeddings.weight"),
    (rf"ln\.{_END}", r"ernie.embeddings.LayerNorm.\1"),
    (rf"encoder_stack\.block\.(\d+)\.ln1\.{_END}",
     r"ernie.encoder.layer.\1.attention.output.LayerNorm.\2"),
    (rf"encoder_stack\.block\.(\d+)\.ln2\.{_END}", r"ernie.encoder.layer.\1.output.LayerNorm.\2"),
    (rf"mlm_ln\.{_END}", r"cls.predictions.transform.LayerNorm.\1"),
    (r"mlm_bias", "cls.predictions.bias"),
)  # fmt: skip


def recognise(source: TensorSource) -> bool:
    """Whether tensors are named as those of a BERT-like model of Paddle.

    Args:
        source: the stored tensors.
    """
    names = set(usual_names(source.shapes))
    if {_OLD_WORDS, "encoder_stack.block.0.attn.q.weight"} <= names:
        return True
    root = _root(names)
    if root is None:
        return False
    block, group = (f"{root}encoder.{part}.0." for part in ("layers", "albert_layer_groups"))
    return f"{group}albert_layers.0.attention.layer_norm.weight" in names or (
        {f"{block}self_attn.q_proj.weight", f"{block}linear1.weight"} <= names
    )


def adapt(source: TensorSource, config: Mapping[str, Any] | None = None) -> AdaptedTensors:
    """The tensors under the names of Hugging Face, with projections as (out, in).

    The matrix behind the head of masked words is taken to be the token table, as everywhere.

    Args:
        source: the stored tensors, which :func:`recognise` accepts.
        config: what lies beside them, Paddle's settings or Hugging Face's.

    Returns:
        The same tensors; those without a name in the family keep theirs and their layout. Their
        ``config`` is the given one, as Hugging Face's.

    Raises:
        CheckpointFormatError: a tensor has not the shape that its name asks for.
    """
    names = usual_names(source.shapes)
    root = _root(names)
    if root is None:
        naming = ((_OLD_LINEAR, _OLD_PLAIN, "", ""),)
        of_bert = False
    else:
        to = _ROOTS.get(root, "")
        segments = source.shapes.get(names.get(f"{root}embeddings.token_type_embeddings.weight"))
        of_bert = to == "roberta." and segments is not None and segments[:1] != (1,)
        to = "bert." if of_bert else to
        naming = ((_LINEAR, _PLAIN, root, to), (_LINEAR_HEADS, _PLAIN_HEADS, "", ""))
    parts: dict[str, Part] = {}
    for name, stored in names.items():
        found, transpose = _found(name, naming)
        if of_bert and found is not None:
            found = rewrite(found, _HEAD_OF_BERT) or found
        put(parts, found, Part(stored, transpose=transpose))
    if config is not None and is_config(config):
        config = read_config(config)
    return AdaptedTensors(source, parts, config)


def _root(names: Iterable[str]) -> str | None:
    """What stands in front of the body's names; None where there is no body."""
    return next((match[1] for match in map(_WORDS.fullmatch, names) if match), None)


def _found(name: str, naming) -> tuple[str | None, bool]:
    """Hugging Face's name, and whether the tensor is the transpose of its."""
    for linear, plain, root, to in naming:
        if name.startswith(root):
            rest = name[len(root) :]
            for rules in (linear, plain):
                found = rewrite(rest, rules)
                if found is not None:
                    return to + found, rules is linear and name.endswith(".weight")
    return None, False


# ------------------------------------------------------------------------------------- settings

_MARKS = ("init_args", "init_class", "paddlenlp_version", "sent_type_vocab_size")
_MODEL_TYPES = {
    "bert": "bert",
    "ernie": "ernie",
    "uie": "ernie",
    "roberta": "roberta",
    "albert": "albert",
    "electra": "electra",
    "nezha": "nezha",
    "roformer": "roformer",
}
_MAX_DEPTH = 5  # of settings in settings


def is_config(values: Mapping[str, Any]) -> bool:
    """Whether settings are those of PaddleNLP, or of ERNIE's own repository."""
    return any(key in values for key in _MARKS)


def read_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """Paddle's settings under Hugging Face's names.

    Args:
        values: the content of a ``model_config.json`` (PaddleNLP until 2.4), whose settings lie in
            ``init_args`` of the body, of a ``config.json`` (since 2.5), or of ERNIE's
            ``ernie_config.json``.

    Returns:
        Settings that the families read, with the epsilon that PaddleNLP sets where a file does not
        say one, 1e-12; ERNIE's own repository has the 1e-5 that the family has.
    """
    body = _body(values, 0) or values
    found = {key: value for key, value in body.items() if key not in ("init_args", "init_class")}
    if "sent_type_vocab_size" in found:
        found.setdefault("type_vocab_size", found.pop("sent_type_vocab_size"))
    if found.get("hidden_act") == "gelu":
        found["hidden_act"] = "gelu_erf"
    if any(key in values for key in ("init_args", "init_class", "paddlenlp_version")):
        found.setdefault("layer_norm_eps", 1e-12)
    built = re.match(r"([A-Za-z]+?)(Model|For[A-Z]\w*)?$", str(body.get("init_class") or ""))
    said = found.get("model_type") or _MODEL_TYPES.get(built[1].lower() if built else "")
    if said == "roberta" and found.get("type_vocab_size") != 1:
        said = "bert"  # HFL's
    if said is not None:
        found["model_type"] = said
    return found


def _body(values: Any, depth: int) -> Mapping[str, Any] | None:
    """The settings of the body, which may lie in lists and dicts of those of its heads."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(values, Mapping):
        if "vocab_size" in values:
            return values
        values = list(values.values())
    if not isinstance(values, list):
        return None
    return next((found for item in values if (found := _body(item, depth + 1))), None)
