"""Sources and targets in one row, as UniLM reads them, and the labels of the next tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kerasbert.backend import tf
from kerasbert.data.batching import batches
from kerasbert.data.pipeline import positive

IGNORE_ID = -1


def next_token_labels(
    token_ids: Sequence[int], segment_ids: Sequence[int], ignore_id: int = IGNORE_ID
) -> np.ndarray:
    """What comes after each position, where that is of the target (segment 1).

    Args:
        token_ids: of one row, (length,).
        segment_ids: 0 for the source, 1 for the target and its end.
        ignore_id: the label of positions that have no loss.

    Returns:
        int32 (length,): at each position the next token of the target, or ``ignore_id``.
    """
    token_ids, segment_ids = np.asarray(token_ids, np.int32), np.asarray(segment_ids)
    labels = np.full(len(token_ids), ignore_id, np.int32)
    labels[:-1] = np.where(segment_ids[1:] == 1, token_ids[1:], ignore_id)
    return labels


def seq2seq_batches(
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    tokenizer: Callable,
    max_source_length: int | None = None,
    max_target_length: int | None = None,
    ignore_id: int = IGNORE_ID,
    **options,
) -> tf.data.Dataset:
    """Batches for a UniLM model: [CLS] source [SEP] target [SEP], and the labels of the target::

        train = data.seq2seq_batches(articles, titles, tokenizer=tokenizer, shuffle=True,
                                     max_source_length=256, max_target_length=32)
        model = build_transformer_model(checkpoint, model="unilm", with_mlm="linear")
        model.compile(AdamW(1e-5), NextTokenLoss())
        model.fit(train, epochs=10)

    Args:
        sources: texts.
        targets: as many texts.
        tokenizer: of texts; one that begins and ends every text with special tokens.
        max_source_length: most tokens of a source, [CLS] and [SEP] counted; more are cut off.
        max_target_length: most tokens of a target, its [SEP] counted.
        ignore_id: the label of the positions that predict nothing.
        **options: as :func:`kerasbert.data.batches`: ``batch_size``, ``shuffle``, ``seed``,
            ``pad_to``, ``drop_remainder`` and so on.

    Returns:
        A dataset with elements ``((token_ids, segment_ids), labels)``, int32 (batch, length) each.

    Raises:
        ValueError: the numbers of sources and targets differ, or a length leaves no token.
    """
    if len(sources) != len(targets):
        raise ValueError(f"got {len(sources)} sources, but {len(targets)} targets.")
    first = _ids(tokenizer, sources, max_source_length, "max_source_length", 3)
    # The target has no [CLS] of its own.
    longest = None if max_target_length is None else max_target_length + 1
    second = [row[1:] for row in _ids(tokenizer, targets, longest, "max_target_length", 3)]

    token_ids = [np.concatenate(rows) for rows in zip(first, second)]
    segment_ids = [
        np.repeat([0, 1], [len(source), len(target)]) for source, target in zip(first, second)
    ]
    labels = [next_token_labels(*row, ignore_id) for row in zip(token_ids, segment_ids)]
    options.setdefault("pad_id", tokenizer.pad_id)
    return batches((token_ids, segment_ids), labels, token_label_pad=ignore_id, **options)


def _ids(tokenizer, texts, max_length, name: str, least: int) -> list[np.ndarray]:
    if max_length is not None and positive(name, max_length) < least:
        raise ValueError(f"{name} leaves no room for a text beside the special tokens.")
    return tokenizer(list(texts), max_length=max_length, padding=False)["token_ids"]
