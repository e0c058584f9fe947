"""Data for training and prediction: padding, and batches of similar lengths."""

from kerasbert.data.batching import batches, stream_batches
from kerasbert.data.generator import DataGenerator
from kerasbert.data.padding import sequence_padding, to_array
from kerasbert.data.prediction import predict
from kerasbert.data.segmentation import text_segmentate, truncate_sequences

__all__ = [
    "DataGenerator",
    "batches",
    "predict",
    "sequence_padding",
    "stream_batches",
    "text_segmentate",
    "to_array",
    "truncate_sequences",
]
