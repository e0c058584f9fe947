"""The names that bert4keras users import from ``snippets``, handed on from where they live."""

from kerasbert.data.generator import DataGenerator
from kerasbert.data.padding import sequence_padding, to_array
from kerasbert.data.segmentation import text_segmentate, truncate_sequences
from kerasbert.generation.autoregressive import AutoRegressiveDecoder

__all__ = [
    "AutoRegressiveDecoder",
    "DataGenerator",
    "sequence_padding",
    "text_segmentate",
    "to_array",
    "truncate_sequences",
]
