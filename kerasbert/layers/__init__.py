"""The layers that models are made of; each is usable on its own in any Keras model."""

from kerasbert.layers.attention import MultiHeadSelfAttention
from kerasbert.layers.conditional import ConditionalLayerNormalization, ScaleOffset
from kerasbert.layers.constant_embedding import ConstantEmbedding
from kerasbert.layers.cross_attention import MultiHeadCrossAttention
from kerasbert.layers.dense import Dense
from kerasbert.layers.dropout import Dropout
from kerasbert.layers.embeddings import Embedding, PositionEmbedding
from kerasbert.layers.feed_forward import FeedForward
from kerasbert.layers.gather import GatherPositions
from kerasbert.layers.heads import Activation, Bias, FirstToken
from kerasbert.layers.initializers import TruncatedNormal, initialize, skip_initialization
from kerasbert.layers.masks import AttentionMask
from kerasbert.layers.normalization import LayerNormalization
from kerasbert.layers.padded_positions import PaddedPositionEmbedding
from kerasbert.layers.permutation import LastToken, PermutationMask
from kerasbert.layers.relative import RelativePositionEmbedding, RelativeSelfAttention
from kerasbert.layers.relative_bias import RelativePositionBias
from kerasbert.layers.relative_xl import RelativeXLSelfAttention
from kerasbert.layers.residual import Add
from kerasbert.layers.rms_norm import RMSNormalization
from kerasbert.layers.rotary import RotarySelfAttention
from kerasbert.layers.sequences import Concatenate1D
from kerasbert.layers.shared import FactorizedEmbedding, SharedSelfAttention
from kerasbert.layers.sinusoidal import SinusoidalPositionEmbedding

__all__ = [
    "Activation",
    "Add",
    "AttentionMask",
    "Bias",
    "Concatenate1D",
    "ConditionalLayerNormalization",
    "ConstantEmbedding",
    "Dense",
    "Dropout",
    "Embedding",
    "FactorizedEmbedding",
    "FeedForward",
    "FirstToken",
    "GatherPositions",
    "LastToken",
    "LayerNormalization",
    "MultiHeadCrossAttention",
    "MultiHeadSelfAttention",
    "PaddedPositionEmbedding",
    "PermutationMask",
    "PositionEmbedding",
    "RMSNormalization",
    "RelativePositionBias",
    "RelativePositionEmbedding",
    "RelativeSelfAttention",
    "RelativeXLSelfAttention",
    "RotarySelfAttention",
    "ScaleOffset",
    "SharedSelfAttention",
    "SinusoidalPositionEmbedding",
    "TruncatedNormal",
    "initialize",
    "skip_initialization",
]
