"""The sizes that a checkpoint's variables reveal, under whatever names they are stored."""

from __future__ import annotations

from collections.abc import Mapping

from kerasbert.checkpoints.mapping import ALL_TOKENS, NameTable, loaded_shape

# Which axis of which of our variables is which size.
_SIZES = {
    "vocab_size": ("Embedding-Token/embeddings", 0),
    "embedding_size": ("Embedding-Token/embeddings", 1),
    "max_position_embeddings": ("Embedding-Position/embeddings", 0),
    "type_vocab_size": ("Embedding-Segment/embeddings", 0),
    "hidden_size": ("Transformer-{i}-MultiHeadSelfAttention/output/kernel", 1),
    "intermediate_size": ("Transformer-{i}-FeedForward/intermediate/kernel", 1),
}


def revealed_sizes(table: NameTable, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Sizes of a BERT-like model, by their names in the configuration.

    Args:
        table: how the checkpoint names the variables.
        shapes: of the checkpoint's tensors.
    """
    rows = {row.variable: row for row in table.rows}
    found = {}
    for size, (variable, axis) in _SIZES.items():
        row = rows.get(variable)
        shape = row and shapes.get(row.tensor.format(i=0))
        if shape:
            found[size] = int(loaded_shape(row.op, tuple(shape), ALL_TOKENS)[axis])
    block = rows.get("Transformer-{i}-FeedForward/intermediate/kernel")
    depth = 0
    while block and "{i" in block.tensor and block.tensor.format(i=depth) in shapes:
        depth += 1
    return {**found, "num_hidden_layers": depth} if depth else found
