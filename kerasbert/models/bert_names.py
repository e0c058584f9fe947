"""How files name BERT's variables: Google's checkpoints and Hugging Face's."""

from __future__ import annotations

from kerasbert.checkpoints import huggingface
from kerasbert.checkpoints.mapping import NameTable, Op, Row, dense, norm

_BLOCK, _LAYER = "Transformer-{i}", "bert/encoder/layer_{i}"

# Our variables and the names of the released checkpoints.
ROWS = (
    Row("Embedding-Token/embeddings", "bert/embeddings/word_embeddings", Op.TOKENS),
    Row("Embedding-Segment/embeddings", "bert/embeddings/token_type_embeddings"),
    Row("Embedding-Position/embeddings", "bert/embeddings/position_embeddings"),
    *norm("Embedding-Norm", "bert/embeddings/LayerNorm"),
    *dense("Embedding-Mapping", "bert/encoder/embedding_hidden_mapping_in"),
    *dense(f"{_BLOCK}-MultiHeadSelfAttention/query", f"{_LAYER}/attention/self/query"),
    *dense(f"{_BLOCK}-MultiHeadSelfAttention/key", f"{_LAYER}/attention/self/key"),
    *dense(f"{_BLOCK}-MultiHeadSelfAttention/value", f"{_LAYER}/attention/self/value"),
    *dense(f"{_BLOCK}-MultiHeadSelfAttention/output", f"{_LAYER}/attention/output/dense"),
    *norm(f"{_BLOCK}-MultiHeadSelfAttention-Norm", f"{_LAYER}/attention/output/LayerNorm"),
    *dense(f"{_BLOCK}-FeedForward/intermediate", f"{_LAYER}/intermediate/dense"),
    *dense(f"{_BLOCK}-FeedForward/gate", f"{_LAYER}/intermediate/gate"),  # in none published
    *dense(f"{_BLOCK}-FeedForward/output", f"{_LAYER}/output/dense"),
    *norm(f"{_BLOCK}-FeedForward-Norm", f"{_LAYER}/output/LayerNorm"),
    *dense("Pooler-Dense", "bert/pooler/dense"),
    Row("NSP-Proba/kernel", "cls/seq_relationship/output_weights", Op.TRANSPOSE),
    Row("NSP-Proba/bias", "cls/seq_relationship/output_bias"),
    *dense("MLM-Dense", "cls/predictions/transform/dense"),
    *norm("MLM-Norm", "cls/predictions/transform/LayerNorm"),
    Row("MLM-Bias/bias", "cls/predictions/output_bias", Op.TOKENS),
)

TABLES = (
    NameTable(
        "google",
        ROWS,
        optional=(
            r"bert/pooler/dense/(kernel|bias)",
            r"cls/.*",  # heads not asked for, RBT4's extra one among them
            r"output_(weights|bias)",  # the head of Google's fine-tuned classifiers
        ),
    ),
    huggingface.bert_table("bert."),
)
