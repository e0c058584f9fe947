"""How Hugging Face names the tensors of BERT-like models: rows that several families share.

Kernels are stored as (out, in), the transpose of ours.
"""

from __future__ import annotations

from kerasbert.checkpoints.mapping import NameTable, Op, Row

# A body that was saved alone has the same names in many families.
ANONYMOUS = "embeddings.word_embeddings.weight"


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


def mapping(root: str) -> tuple[Row, ...]:
    """Rows of the projection that follows embeddings of another width."""
    return linear("Embedding-Mapping", f"{root}encoder.embedding_hidden_mapping_in")


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
        *linear(f"{ours}-FeedForward/gate", f"{theirs}.intermediate.gate"),  # in none published
        *linear(f"{ours}-FeedForward/output", f"{theirs}.output.dense"),
        *norm(f"{ours}-FeedForward-Norm", f"{theirs}.output.LayerNorm"),
    )


def heads(root: str) -> tuple[Row, ...]:
    """Rows of BERT's pooler and of the two heads that it was pretrained with."""
    return (
        *linear("Pooler-Dense", f"{root}pooler.dense"),
        *linear("NSP-Proba", "cls.seq_relationship"),
        *linear("MLM-Dense", "cls.predictions.transform.dense"),
        *norm("MLM-Norm", "cls.predictions.transform.LayerNorm"),
        Row("MLM-Bias/bias", "cls.predictions.bias", Op.TOKENS),
    )


# What a model may leave unused: heads and copies of tied tables (a tied `decoder` is left out of
# some files and present in others), constant buffers, and the layers that fine-tuning adds.
OPTIONAL = (
    r"(.*\.)?pooler\..*",
    r"(cls|lm_head)\..*",
    r"(.*\.)?(position_ids|token_type_ids)",
    r"(classifier|qa_outputs)\..*",
)


def bert_table(root: str, *further: Row) -> NameTable:
    """The table of BERT, and of families that differ from it in their name only.

    Args:
        root: in front of the body's names, such as ``bert.``.
        *further: rows that the family has besides.
    """
    rows = (*embeddings(root), *mapping(root), *blocks(root), *heads(root), *further)
    return NameTable("huggingface", rows, OPTIONAL, root)
