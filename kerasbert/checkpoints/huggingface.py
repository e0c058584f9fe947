"""How Hugging Face names the tensors of BERT-like models: rows that several families share.

Kernels are stored as (out, in), the transpose of ours.
"""

from __future__ import annotations

from kerasbert.checkpoints.mapping import Op, Row


def linear(variable: str, tensor: str, bias: bool = True) -> tuple[Row, ...]:
    """Rows of a projection."""
    rows = (Row(f"{variable}/kernel", f"{tensor}.weight", Op.TRANSPOSE),)
    return (*rows, Row(f"{variable}/bias", f"{tensor}.bias")) if bias else rows


def norm(variable: str, tensor: str) -> tuple[Row, ...]:
    """Rows of a layer normalisation."""
    return (Row(f"{variable}/gamma", f"{tensor}.weight"), Row(f"{variable}/beta", f"{tensor}.bias"))


def embeddings(root: str) -> tuple[Row, ...]:
    """Rows of BERT's embeddings; ``root`` is such as ``bert.``."""
    return (
        Row("Embedding-Token/embeddings", f"{root}embeddings.word_embeddings.weight", Op.TOKENS),
        Row("Embedding-Segment/embeddings", f"{root}embeddings.token_type_embeddings.weight"),
        Row("Embedding-Position/embeddings", f"{root}embeddings.position_embeddings.weight"),
        *norm("Embedding-Norm", f"{root}embeddings.LayerNorm"),
    )


def blocks(root: str, layer: str = "encoder.layer.{i}") -> tuple[Row, ...]:
    """Rows of BERT's blocks."""
    ours, theirs = "Transformer-{i}", f"{root}{layer}"
    attention = f"{ours}-MultiHeadSelfAttention"
    return (
        *linear(f"{attention}/query", f"{theirs}.attention.self.query"),
        *linear(f"{attention}/key", f"{theirs}.attention.self.key"),
        *linear(f"{attention}/value", f"{theirs}.attention.self.value"),
        *linear(f"{attention}/output", f"{theirs}.attention.output.dense"),
        *norm(f"{attention}-Norm", f"{theirs}.attention.output.LayerNorm"),
        *linear(f"{ours}-FeedForward/intermediate", f"{theirs}.intermediate.dense"),
        *linear(f"{ours}-FeedForward/output", f"{theirs}.output.dense"),
        *norm(f"{ours}-FeedForward-Norm", f"{theirs}.output.LayerNorm"),
    )
