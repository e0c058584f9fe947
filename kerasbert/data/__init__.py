"""Data for training and prediction: padding, and batches of similar lengths."""

from kerasbert.data.batching import batches, stream_batches
from kerasbert.data.generator import DataGenerator
from kerasbert.data.padding import sequence_padding, to_array
from kerasbert.data.prediction import predict
from kerasbert.data.segmentation import text_segmentate, truncate_sequences
from kerasbert.data.seq2seq import next_token_labels, seq2seq_batches
from kerasbert.data.similar import similar_batches, similar_groups

__all__ = [
    "DataGenerator",
    "batches",
    "next_token_labels",
    "predict",
    "seq2seq_batches",
    "sequence_padding",
    "similar_batches",
    "similar_groups",
    "stream_batches",
    "text_segmentate",
    "to_array",
    "truncate_sequences",
]
