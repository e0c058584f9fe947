"""The layers that models are made of; each is usable on its own in any Keras model."""

from kerasbert.layers.attention import MultiHeadSelfAttention
from kerasbert.layers.dense import Dense
from kerasbert.layers.dropout import Dropout
from kerasbert.layers.embeddings import Embedding, PositionEmbedding
from kerasbert.layers.feed_forward import FeedForward
from kerasbert.layers.heads import Activation, Bias, FirstToken
from kerasbert.layers.initializers import TruncatedNormal, skip_initialization
from kerasbert.layers.masks import AttentionMask
from kerasbert.layers.normalization import LayerNormalization
from kerasbert.layers.residual import Add

__all__ = [
    "Activation",
    "Add",
    "AttentionMask",
    "Bias",
    "Dense",
    "Dropout",
    "Embedding",
    "FeedForward",
    "FirstToken",
    "LayerNormalization",
    "MultiHeadSelfAttention",
    "PositionEmbedding",
    "TruncatedNormal",
    "skip_initialization",
]
