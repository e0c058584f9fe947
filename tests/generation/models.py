"""Small models that generate, and a tokenizer for ids that mean nothing."""

from __future__ import annotations

import numpy as np

from kerasbert import build_transformer_model

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "initializer_range": 0.5,  # large enough for every token to matter
}
END = 3


class Ids:
    """Writes ids as numbers; texts are numbers with spaces between."""

    vocab_size = SIZES["vocab_size"]

    def __init__(self, end_id: int | None = END, start_id: int = 2):
        self.end_id, self.start_id = end_id, start_id

    def __call__(self, texts, **_):
        rows = [[self.start_id, *self._ids(text), self.end_id] for text in texts]
        return {"token_ids": rows, "segment_ids": [[0] * len(row) for row in rows]}

    def _ids(self, text):
        parts = text if isinstance(text, tuple) else (text,)
        return [int(number) for part in parts for number in part.split()]

    def tokenize(self, text):
        return text.split()

    def tokens_to_ids(self, tokens):
        return [int(token) for token in tokens]

    def decode(self, ids):
        return " ".join(str(token_id) for token_id in ids)


def tiny(application: str = "unilm", **options):
    """An untrained BERT that writes."""
    sizes = {name: options.pop(name, size) for name, size in SIZES.items()}
    options.setdefault("with_mlm", "linear")
    return build_transformer_model(**sizes, model="bert", application=application, **options)


def prompts(count: int = 3, seed: int = 0, longest: int = 9, vocab_size: int = 40):
    """Token ids of different lengths, that of the first the greatest."""
    rng = np.random.default_rng(seed)
    lengths = [longest, *rng.integers(2, longest, count - 1)]
    return [[2, *rng.integers(5, vocab_size, length - 2).tolist(), END] for length in lengths]
