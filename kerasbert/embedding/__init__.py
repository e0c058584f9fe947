"""Sentence vectors: from texts to vectors, to similarities, to the most similar of millions."""

from kerasbert.embedding.encoder import TextEncoder
from kerasbert.embedding.faiss_index import FaissIndex
from kerasbert.embedding.index import VectorIndex
from kerasbert.embedding.pooling import POOLINGS, vector_model
from kerasbert.embedding.search import search, similarity

__all__ = [
    "POOLINGS",
    "FaissIndex",
    "TextEncoder",
    "VectorIndex",
    "search",
    "similarity",
    "vector_model",
]
