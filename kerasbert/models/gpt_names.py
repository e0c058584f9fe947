"""How files name the variables of GPT, GPT-2 and GPT2_ML.

The names of the conversions for bert4keras come first, which are the ones that are written in
Google's format. Hugging Face's classes of GPT and GPT-2 hold query, key and value as one matrix,
and their kernels lie as ours, (in, out).
"""

from __future__ import annotations

from kerasbert.checkpoints import huggingface
from kerasbert.checkpoints.mapping import NameTable, Op, Row, dense, norm

ATTENTION, FEED_FORWARD = "Transformer-{i}-MultiHeadSelfAttention", "Transformer-{i}-FeedForward"
_LAYER, _NEWS_LAYER = "gpt/transformer/layer_{i}", "newslm/layer{i:02d}"

_COMMON = (
    Row("Embedding-Token/embeddings", "gpt/embeddings/word_embeddings", Op.TOKENS),
    Row("Embedding-Position/embeddings", "gpt/embeddings/position_embeddings"),
    *dense(f"{ATTENTION}/query", f"{_LAYER}/attention/self/query"),
    *dense(f"{ATTENTION}/key", f"{_LAYER}/attention/self/key"),
    *dense(f"{ATTENTION}/value", f"{_LAYER}/attention/self/value"),
    *dense(f"{ATTENTION}/output", f"{_LAYER}/attention/output/dense"),
    *dense(f"{FEED_FORWARD}/intermediate", f"{_LAYER}/intermediate/dense"),
    *dense(f"{FEED_FORWARD}/gate", f"{_LAYER}/intermediate/gate"),  # in none published
    *dense(f"{FEED_FORWARD}/output", f"{_LAYER}/output/dense"),
)
_GPT = (
    *_COMMON,
    Row("Embedding-Segment/embeddings", "gpt/embeddings/token_type_embeddings"),
    *norm(f"{ATTENTION}-Norm", f"{_LAYER}/attention/output/LayerNorm"),
    *norm(f"{FEED_FORWARD}-Norm", f"{_LAYER}/output/LayerNorm"),
)
_GPT2 = (
    *_COMMON,
    *norm(f"{ATTENTION}-Norm", f"{_LAYER}/attention/input/LayerNorm"),
    *norm(f"{FEED_FORWARD}-Norm", f"{_LAYER}/input/LayerNorm"),
    *norm("Output-Norm", "gpt/output/LayerNorm"),
)
_GPT2_ML = (
    Row("Embedding-Token/embeddings", "newslm/embeddings/word_embed", Op.TOKENS),
    Row("Embedding-Position/embeddings", "newslm/embeddings/pos_embed"),
    *norm("Embedding-Norm", "newslm/embeddings/LayerNorm_embed_norm"),
    *dense(f"{ATTENTION}/query", f"{_NEWS_LAYER}/query_layer"),
    *dense(f"{ATTENTION}/key", f"{_NEWS_LAYER}/key_layer"),
    *dense(f"{ATTENTION}/value", f"{_NEWS_LAYER}/value_layer"),
    *dense(f"{ATTENTION}/output", f"{_NEWS_LAYER}/context_projection_layer"),
    *norm(f"{FEED_FORWARD}-Norm-0", f"{_NEWS_LAYER}/LayerNorm_mlp_ln0"),
    *dense(f"{FEED_FORWARD}/intermediate", f"{_NEWS_LAYER}/intermediate"),
    *dense(f"{FEED_FORWARD}/gate", f"{_NEWS_LAYER}/intermediate/gate"),  # in none published
    *dense(f"{FEED_FORWARD}/output", f"{_NEWS_LAYER}/output"),
    *norm(f"{FEED_FORWARD}-Norm-1", f"{_NEWS_LAYER}/LayerNorm_mlp_ln1"),
)


def _conv1d(variable: str, tensor: str, op: Op = Op.IDENTITY) -> tuple[Row, ...]:
    """Rows of what Hugging Face calls a Conv1D: a projection."""
    return (
        Row(f"{variable}/kernel", f"{tensor}.weight", op),
        Row(f"{variable}/bias", f"{tensor}.bias", op),
    )


_ROOT = "transformer."
_BLOCK = f"{_ROOT}h.{{i}}"


def _huggingface(tokens: str, positions: str, *further: Row) -> NameTable:
    """The table of one of Hugging Face's two."""
    rows = (
        Row("Embedding-Token/embeddings", f"{_ROOT}{tokens}.weight", Op.TOKENS),
        Row("Embedding-Position/embeddings", f"{_ROOT}{positions}.weight"),
        *_conv1d(f"{ATTENTION}/query", f"{_BLOCK}.attn.c_attn", Op.FIRST_THIRD),
        *_conv1d(f"{ATTENTION}/key", f"{_BLOCK}.attn.c_attn", Op.SECOND_THIRD),
        *_conv1d(f"{ATTENTION}/value", f"{_BLOCK}.attn.c_attn", Op.LAST_THIRD),
        *_conv1d(f"{ATTENTION}/output", f"{_BLOCK}.attn.c_proj"),
        *huggingface.norm(f"{ATTENTION}-Norm", f"{_BLOCK}.ln_1"),
        *_conv1d(f"{FEED_FORWARD}/intermediate", f"{_BLOCK}.mlp.c_fc"),
        *_conv1d(f"{FEED_FORWARD}/output", f"{_BLOCK}.mlp.c_proj"),
        *huggingface.norm(f"{FEED_FORWARD}-Norm", f"{_BLOCK}.ln_2"),
        *further,
    )
    optional = (
        r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)",  # who sees whom: constants
        r"(transformer\.)?position_ids",
        r"lm_head\.weight",  # is the token table
        r"(multiple_choice_head|score|classifier)\..*",
    )
    return NameTable("huggingface", rows, optional, _ROOT)


GPT_TABLES = (
    NameTable("google", _GPT),
    _huggingface("tokens_embed", "positions_embed"),
)
GPT2_TABLES = (
    NameTable("google", _GPT2),
    _huggingface("wte", "wpe", *huggingface.norm("Output-Norm", f"{_ROOT}ln_f")),
)
GPT2_ML_TABLES = (NameTable("google", _GPT2_ML, optional=(r"newslm/.*/adafactor_\w+",)),)
