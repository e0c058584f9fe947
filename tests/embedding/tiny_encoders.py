"""Small tokenizers and models that the tests of sentence vectors share."""

from __future__ import annotations

import random

import numpy as np

from kerasbert import Tokenizer, build_transformer_model
from kerasbert.tokenizers.padding import Template

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIZES = {
    "vocab_size": 31,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "initializer_range": 0.5,  # far from zero: what differs shows
}


class LeftPaddedTokenizer(Tokenizer):
    """Builds rows as XLNet's tokenizer does."""

    @property
    def template(self) -> Template:
        end = (self.token_to_id("[SEP]"), self.token_to_id("[CLS]"))
        return Template((), (), end, (0, 1), (None, 2), pad_segment=3, padding_side="left")


def make_tokenizer(pad_id: int = 0, kind: type = Tokenizer) -> Tokenizer:
    """A tokenizer of letters, whose padding has this id."""
    tokens = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    tokens.insert(pad_id, "[PAD]")
    return kind(tokens, do_lower_case=True)


def make_model(**options):
    """An untrained BERT."""
    return build_transformer_model({**SIZES, **options.pop("config", {})}, **options)


def make_texts(count: int, longest: int = 18, seed: int = 0) -> list[str]:
    """Texts of 0 to ``longest`` letters."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(LETTERS, k=draw.randint(0, longest))) for _ in range(count)]


def alone(model, tokenizer, text: str) -> list[np.ndarray]:
    """A model's outputs of one text without padding."""
    row = tokenizer([text])
    inputs = [row["token_ids"], row["segment_ids"]][: len(model.inputs)]
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(output, np.float64)[0] for output in outputs]
