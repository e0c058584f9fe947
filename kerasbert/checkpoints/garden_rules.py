"""Patterns of Model Garden's names of variables, and what Google's files call the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kerasbert.checkpoints.adapting import rewrite
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.object_graph import ObjectVariable

_KERNEL, _NORM = r"(?P<last>kernel|bias)", r"(?P<last>gamma|beta)"
_N = r"(?:_\d+)?"  # Keras numbers layers of one name

# Patterns of a name's end, and what stands for it at Google.
EMBEDDINGS = (
    (r"word_embeddings/embeddings", "bert/embeddings/word_embeddings"),
    (
        rf"(?:type_embeddings{_N}/embeddings|embedding_postprocessor/type_embeddings)",
        "bert/embeddings/token_type_embeddings",
    ),
    (
        rf"(?:position_embedding{_N}/embeddings|embedding_postprocessor/position_embeddings)",
        "bert/embeddings/position_embeddings",
    ),
    (
        rf"(?:embeddings|embedding_postprocessor)/layer_norm/{_NORM}",
        r"bert/embeddings/LayerNorm/\g<last>",
    ),
    (
        r"(?:embedding_projection|embedding_postprocessor/embedding_hidden_mapping_in)/" + _KERNEL,
        r"bert/encoder/embedding_hidden_mapping_in/\g<last>",
    ),
    (rf"pooler_transform/{_KERNEL}", r"bert/pooler/dense/\g<last>"),
)
_MLM = (
    (rf"cls/predictions/transform/dense/{_KERNEL}", r"cls/predictions/transform/dense/\g<last>"),
    (
        rf"cls/predictions/transform/LayerNorm/{_NORM}",
        r"cls/predictions/transform/LayerNorm/\g<last>",
    ),
    (r"cls/predictions/output_bias(?:/bias)?", "cls/predictions/output_bias"),
)
# The two heads that pairs were pretrained with: of BertPretrainer, and of BertPretrainerV2, which
# leaves the encoder's own pooler untrained and has another.
_LOGITS = "(?:predictions/transform/logits|next_sentence/logits)"
_PAIRS = (
    (rf"{_LOGITS}/kernel", "cls/seq_relationship/output_weights"),
    (rf"{_LOGITS}/bias", "cls/seq_relationship/output_bias"),
)
_POOLER_OF_PAIRS = ((rf"next_sentence/pooler_dense/{_KERNEL}", r"bert/pooler/dense/\g<last>"),)

# A block, of a BERT or (without a number) the one that all layers of an ALBERT share.
BLOCK = re.compile(
    r"(?:.*/)?(?:(?:transformer|encoder)/layer_(?P<layer>\d{1,4})"
    r"|transformer|encoder/shared_layer)/(?P<part>(?:self_attention|intermediate|output).*)",
    re.DOTALL,
)
_OF_LAYER, _OF_GROUP = "bert/encoder/layer_{}/", "bert/encoder/transformer/group_0/inner_group_0/"
# A block's part: its pattern, its name in a BERT, its name in an ALBERT.
_PARTS = (
    (rf"self_attention/(?P<which>query|key|value)/{_KERNEL}",
     r"attention/self/\g<which>/\g<last>", r"attention_1/self/\g<which>/\g<last>"),
    (rf"(?:self_attention/attention_output|self_attention_output)/{_KERNEL}",
     r"attention/output/dense/\g<last>", r"attention_1/output/dense/\g<last>"),
    (rf"self_attention_layer_norm/{_NORM}",
     r"attention/output/LayerNorm/\g<last>", r"LayerNorm/\g<last>"),
    (rf"intermediate/{_KERNEL}",
     r"intermediate/dense/\g<last>", r"ffn_1/intermediate/dense/\g<last>"),
    (rf"output/{_KERNEL}",
     r"output/dense/\g<last>", r"ffn_1/intermediate/output/dense/\g<last>"),
    (rf"output_layer_norm/{_NORM}",
     r"output/LayerNorm/\g<last>", r"LayerNorm_1/\g<last>"),
)  # fmt: skip

# Other encoders of Model Garden, by a name that only they have.
_FOREIGN = (
    ("a BERT with talking heads", r"talking_heads_attention\w*"),
    ("MobileBERT", r"mobile_bert_embedding\w*"),
    ("a Funnel Transformer", r"funnel_transformer_encoder\w*"),
    ("a BERT with reused attention", r"reuse_transformer\w*"),
    ("a BERT with kernel attention", r"kernel_attention\w*"),
    ("BigBird", r"big_?bird\w*"),
    ("FNet", r"f_net\w*"),
    ("a Sparse Mixer", r"sparse_mixer\w*"),
)
BUILT = (
    "Of Model Garden's encoders, BERT and ALBERT are read, with the normalisation after each "
    "sublayer."
)


def rewritten(rules: Sequence[tuple[str, str]], name: str) -> str | None:
    """The name by the first rule whose pattern is its end."""
    return rewrite(name, [(rf"(?s:.*/)?{pattern}", template) for pattern, template in rules])


def foreign_encoder(names: Sequence[str]) -> str | None:
    """What other encoder names are of."""
    for title, pattern in _FOREIGN:
        if any(re.match(rf"(?s:.*/)?{pattern}/", name) for name in names):
            return title
    return None


def google_names(variables: Sequence[ObjectVariable]) -> dict[str, ObjectVariable]:
    """The variables of an encoder and its heads by Google's names.

    Raises:
        CheckpointFormatError: several have one name, or a block has a part that is not known.
    """
    found: dict[str, ObjectVariable] = {}

    def add(name: str, variable: ObjectVariable) -> None:
        other = found.setdefault(name, variable)
        if other is not variable:
            raise CheckpointFormatError(
                f"the checkpoint holds several encoders, such as those of {other.path!r} and "
                f"{variable.path!r}, and nothing says which is meant. Save the one by itself: "
                "tf.train.Checkpoint(encoder=...).write(...)"
            )

    for variable in variables:
        block = BLOCK.fullmatch(variable.name)
        name = _part_of_block(block) if block else rewritten((*EMBEDDINGS, *_MLM), variable.name)
        if name:
            add(name, variable)
        elif block and variable.shape:
            raise CheckpointFormatError(
                f"a block of the checkpoint has a variable {variable.name!r}, which those of BERT "
                f"do not have. {BUILT}"
            )
    if not any(name.startswith("bert/encoder/") and "attention" in name for name in found):
        names = ", ".join(variable.name for variable in variables[:8])
        raise CheckpointFormatError(
            f"the checkpoint has Model Garden's embeddings, but no blocks of BERT: {names}, ... "
            f"{BUILT}"
        )
    return {**found, **_heads_of_pairs(variables, found)}


def _part_of_block(block: re.Match) -> str | None:
    layer = block["layer"]
    for pattern, in_layer, in_group in _PARTS:
        match = re.fullmatch(pattern, block["part"])
        if match:
            if layer is None:
                return _OF_GROUP + match.expand(in_group)
            return _OF_LAYER.format(int(layer)) + match.expand(in_layer)
    return None


def _heads_of_pairs(
    variables: Sequence[ObjectVariable], found: Mapping[str, ObjectVariable]
) -> dict[str, ObjectVariable]:
    """The head of next sentences, and its pooler where it has one of its own.

    A classifier of two classes has the same names: it is one of pairs only beside the head of
    masked words, which no fine-tuned model has.
    """
    if "cls/predictions/output_bias" not in found:
        return {}
    pairs = {rewritten((*_PAIRS, *_POOLER_OF_PAIRS), v.name): v for v in variables}
    pairs.pop(None, None)
    weights = pairs.get("cls/seq_relationship/output_weights")
    return pairs if weights is not None and weights.shape[-1:] == (2,) else {}


def layout(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """How a tensor becomes what Google has under a name."""
    if name == "cls/seq_relationship/output_weights":
        return {"transpose": True}
    if re.search(r"/self/(query|key|value)/kernel$", name) and len(shape) == 3:
        return {"shape": (shape[0], shape[1] * shape[2])}
    if re.search(r"/self/(query|key|value)/bias$", name) and len(shape) == 2:
        return {"shape": (shape[0] * shape[1],)}
    if re.search(r"/attention(_1)?/output/dense/kernel$", name) and len(shape) == 3:
        return {"shape": (shape[0] * shape[1], shape[2])}
    return {}
