"""Tokenizers: text to model inputs and back."""

import importlib

from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.checking import check_vocabulary
from kerasbert.tokenizers.segmentation import segmenter
from kerasbert.tokenizers.tokenizer import Tokenizer
from kerasbert.tokenizers.vocabulary import load_vocab, save_vocab

__all__ = [
    "BaseTokenizer",
    "ByteLevelBPELayer",
    "ByteLevelBPETokenizer",
    "SentencePieceLayer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "TokenizerLayer",
    "check_vocabulary",
    "load_vocab",
    "save_vocab",
    "segmenter",
]

# Loaded when asked for: layers bring TensorFlow in, which Python-only use does without.
_LAZY = {
    "ByteLevelBPELayer": "bytelevel_layer",
    "ByteLevelBPETokenizer": "bytelevel_bpe",
    "SentencePieceLayer": "sentencepiece_layer",
    "SentencePieceTokenizer": "sentencepiece",
    "TokenizerLayer": "layer",
}


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
