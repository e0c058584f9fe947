"""Whether a vocabulary is the one that a model was made for, as far as sizes tell."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

# Published tables are padded to a round number of rows: T5's has 28 more than its vocabulary.
_SPARE_ROWS = 128


def check_vocabulary(model, tokenizer) -> None:
    """Refuses a tokenizer with ids that a model has no embedding row for.

    A lookup beyond the table is an error on a CPU, but silently gives zeros on other devices. Far
    more rows than tokens are a warning: they may well be the sign of another vocabulary. Models
    without a token embedding that is known here pass.

    Args:
        model: a Keras model.
        tokenizer: a tokenizer, or anything with a ``vocab_size``.

    Raises:
        ValueError: the vocabulary is too large for the model.
    """
    rows = embedding_rows(model)
    if rows is None or not isinstance(getattr(tokenizer, "vocab_size", None), int):
        return
    check_size(tokenizer, rows)
    if rows - tokenizer.vocab_size > _SPARE_ROWS:
        logger.warning(
            "the model's token embedding has %d rows, the tokenizer %d tokens: check that this is "
            "the vocabulary that the model was made for",
            rows,
            tokenizer.vocab_size,
        )


def check_size(tokenizer, rows: int) -> None:
    """Refuses a tokenizer with more tokens than there are rows in an embedding.

    Raises:
        ValueError: so it is.
    """
    size, added = tokenizer.vocab_size, len(getattr(tokenizer, "added_tokens", ()))
    if size <= rows:
        return
    if added and size - added <= rows:
        advice = (
            f"{added} tokens were added: give the model rows for them with "
            "build_transformer_model(..., compound_tokens=[[id of a similar token], ...])."
        )
    else:
        advice = (
            "Take the vocabulary that lies beside the checkpoint (vocab.txt, *.model), or with "
            "keep_tokens the one that load_vocab(simplified=True) gave."
        )
    raise ValueError(
        f"the tokenizer has {size:,} tokens, but the model's token embedding only {rows:,} rows: "
        f"this is not the vocabulary that the model was made for. {advice}"
    )


def embedding_rows(model) -> int | None:
    """The number of rows of a model's token embedding; None where none is known."""
    for layer in getattr(model, "layers", ()):
        if layer.name.endswith("Embedding-Token"):
            return getattr(layer, "input_dim", None)
        rows = embedding_rows(layer)
        if rows is not None:
            return rows
    return None
