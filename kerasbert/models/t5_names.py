"""How T5's published files name the variables, and what their shapes reveal.

The first files were written by Mesh TensorFlow, in two spellings: T5 normalises by ``layer_norm``,
mT5 by ``rms_norm``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kerasbert.checkpoints.mapping import (
    ALL_TOKENS,
    NameTable,
    Op,
    Row,
    choose_table,
    expand,
    loaded_shape,
)
from kerasbert.models.t5_config import T5Config

_ATTENTION = (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o"))
# Gated; _named_by_gate has the other name of the first.
_FEED_FORWARD = (("intermediate", "wi_0"), ("gate", "wi_1"), ("output", "wo"))
_ENCODER = (
    ("MultiHeadSelfAttention", "SelfAttention", _ATTENTION),
    ("FeedForward", "DenseReluDense", _FEED_FORWARD),
)
_DECODER = (
    _ENCODER[0],
    ("MultiHeadCrossAttention", "EncDecAttention", _ATTENTION),
    _ENCODER[1],
)


def _rows(
    block: str, norm: str, kernel: Callable[[str, str], str], kernel_op: Op, bias: Row, last: str
) -> tuple[Row, ...]:
    """The rows of encoder and decoder.

    Args:
        block: name of sublayer {n} of block {i} of the {side}.
        norm: a sublayer's norm, after its name.
        kernel: from a module's and a part's name to the kernel's, after the sublayer's name.
        kernel_op: of the kernels.
        bias: the table of relative positions, after the name of block 0's first sublayer.
        last: name of the last norm of the {side}.
    """
    rows = []
    for side, sublayers in (("Encoder", _ENCODER), ("Decoder", _DECODER)):
        theirs = block.replace("{side}", side.lower())
        first = theirs.format(i=0, n=0)
        rows += [
            Row(f"{side}-{bias.variable}", first + bias.tensor, bias.op),
            Row(f"{side}-Output-Norm/gamma", last.format(side=side.lower())),
        ]
        for n, (layer, module, parts) in enumerate(sublayers):
            variable = f"{side}-Transformer-{{i}}-{layer}"
            sublayer = theirs.replace("{n}", str(n))
            rows.append(Row(f"{variable}-Norm/gamma", sublayer + norm))
            for part, tensor in parts:
                name = f"{variable}/{part}/kernel"
                rows.append(Row(name, sublayer + kernel(module, tensor), kernel_op))
    return tuple(rows)


def _mesh(norm: str, last: str) -> tuple[Row, ...]:
    """The rows of Mesh TensorFlow's checkpoints."""
    return (
        Row("Embedding-Token/embeddings", "shared/embedding", Op.TOKENS),
        Row("Decoder-Output-LM/embeddings", "decoder/logits/kernel", Op.TOKEN_COLUMNS),
        *_rows(
            block="{side}/block_{i:03d}/layer_00{n}/",
            norm=f"{norm}/scale",
            kernel=lambda module, part: (
                f"{module}/{part}/kernel" if part.startswith("w") else f"{module}/{part}"
            ),
            kernel_op=Op.IDENTITY,
            bias=Row(
                "Embedding-Relative-Position/embeddings",
                "SelfAttention/relative_attention_bias",
                Op.TRANSPOSE,
            ),
            last=f"{{side}}/{last}/scale",
        ),
    )


_HUGGING_FACE = (
    Row("Embedding-Token/embeddings", "shared.weight", Op.TOKENS),
    Row("Decoder-Output-LM/embeddings", "lm_head.weight", Op.TOKENS),
    *_rows(
        block="{side}.block.{i}.layer.{n}.",
        norm="layer_norm.weight",
        kernel=lambda module, part: f"{module}.{part}.weight",
        kernel_op=Op.TRANSPOSE,
        bias=Row(
            "Embedding-Relative-Position/embeddings",
            "SelfAttention.relative_attention_bias.weight",
        ),
        last="{side}.final_layer_norm.weight",
    ),
)

_GATED = (
    NameTable("mesh", _mesh("layer_norm", "final_layer_norm")),
    NameTable("mesh_rms_norm", _mesh("rms_norm", "rms_norm")),
    NameTable(
        "huggingface",
        _HUGGING_FACE,
        optional=(
            r"(encoder|decoder)\.embed_tokens\.weight",  # copies of the token table
            # of transformers before 4.0, which never used it
            r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
        ),
    ),
)


def _named_by_gate(rows: Iterable[Row], gated: bool) -> list[Row]:
    """Rows with the name that the first projection of the feed-forward networks has."""
    name = "wi_0" if gated else "wi"
    return [
        dataclasses.replace(row, tensor=re.sub(r"\bwi(_0)?\b", name, row.tensor)) for row in rows
    ]


TABLES = (
    *_GATED,
    *(
        dataclasses.replace(
            table, name=f"{table.name}_ungated", rows=tuple(_named_by_gate(table.rows, False))
        )
        for table in _GATED
    ),
)

# The names of the token table and of the output layer.
OUTPUT_LAYERS = (("shared/embedding", "decoder/logits/kernel"), ("shared.weight", "lm_head.weight"))


def rows_of(table: NameTable, config: T5Config) -> list[Row]:
    """A table's rows for a model, with the indices of blocks written out."""
    rows = _named_by_gate(table.rows, config.gated)
    return expand(rows, max(config.num_hidden_layers, config.num_decoder_layers))


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """All sizes, from the shapes of a checkpoint's tensors: a T5 needs no json."""
    rows = {row.variable: row for row in choose_table(TABLES, shapes).rows}
    found: dict[str, Any] = {}

    def shape(variable: str, i: int = 0) -> tuple[int, ...] | None:
        row = rows[variable]
        theirs = tuple(shapes.get(row.tensor.format(i=i), ()))
        return loaded_shape(row.op, theirs, ALL_TOKENS) if len(theirs) == 2 else None

    tokens = shape("Embedding-Token/embeddings")
    if tokens:
        found.update(vocab_size=tokens[0], hidden_size=tokens[1])
    depth = {}
    for side in ("Decoder", "Encoder"):
        block = f"{side}-Transformer-{{i}}"
        buckets = shape(f"{side}-Embedding-Relative-Position/embeddings")
        query = shape(f"{block}-MultiHeadSelfAttention/query/kernel")
        value = shape(f"{block}-MultiHeadSelfAttention/value/kernel")
        inner = shape(f"{block}-FeedForward/output/kernel")
        if not (buckets and query and value and inner):
            continue
        depth[side] = 1
        while shape(f"{block}-FeedForward/output/kernel", depth[side]):
            depth[side] += 1
        gated = shape(f"{block}-FeedForward/gate/kernel") is not None
        found.update(
            relative_attention_num_buckets=buckets[0],
            num_attention_heads=buckets[1],
            attention_head_size=value[1] // buckets[1],
            intermediate_size=inner[0],
            hidden_act=("gelu", "linear") if gated else "relu",
            num_hidden_layers=depth[side],
        )
        if query != value:
            found["attention_key_size"] = query[1] // buckets[1]
    # Left out where they are equal: num_hidden_layers=3 then means both.
    if len(set(depth.values())) == 2:
        found["num_decoder_layers"] = depth["Decoder"]
    if "decoder/logits/kernel" in shapes:
        found["tie_word_embeddings"] = False
    # Hugging Face's older files hold a tied output layer as well: having one says nothing there.
    return found
