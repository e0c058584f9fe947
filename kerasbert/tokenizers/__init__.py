"""Tokenizers: text to model inputs and back."""

from kerasbert.tokenizers.base import BaseTokenizer
from kerasbert.tokenizers.tokenizer import Tokenizer
from kerasbert.tokenizers.vocabulary import load_vocab, save_vocab

__all__ = ["BaseTokenizer", "Tokenizer", "TokenizerLayer", "load_vocab", "save_vocab"]


def __getattr__(name: str):
    if name == "TokenizerLayer":  # brings TensorFlow in, which Python-only use does without
        from kerasbert.tokenizers.layer import TokenizerLayer

        return TokenizerLayer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
