"""Texts as prompts: ids without what would end them, no longer than the model allows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kerasbert.generation.reading import Parts

logger = logging.getLogger("kerasbert")


class Prompt(NamedTuple):
    """Ids of one text: int32 (length,) each."""

    token_ids: np.ndarray
    segment_ids: np.ndarray


def is_one_text(texts) -> bool:
    """Whether this is one text and not several: a text, or ids of one."""
    if isinstance(texts, (str, bytes)):
        return True
    return len(texts) > 0 and all(isinstance(x, (int, np.integer)) for x in texts)


def encode(
    texts: Sequence, tokenizer, parts: Parts, max_new_tokens: int, truncation: bool = True
) -> list[Prompt]:
    """The prompts of texts.

    Args:
        texts: each a text, a pair of texts, or a list of token ids that is taken as it is.
        tokenizer: a tokenizer.
        parts: of the model.
        max_new_tokens: tokens that must find room behind.
        truncation: whether sources that are too long are cut, with a warning; otherwise they are
            an error.

    Raises:
        ValueError: there is no room, or a prompt is empty.
    """
    room = None if parts.max_positions is None else parts.max_positions - max_new_tokens
    if room is not None and room < 3:
        raise ValueError(
            f"The model has {parts.max_positions} positions: max_new_tokens={max_new_tokens} "
            "leaves none for the prompt. Ask for fewer new tokens, or build the model with "
            "hierarchical_position=True."
        )
    prompts: list[Prompt | None] = [None] * len(texts)
    places = [i for i, text in enumerate(texts) if isinstance(text, (str, bytes, tuple))]
    pairs = [isinstance(texts[i], tuple) for i in places]
    for kind in (False, True):
        chosen = [i for i, pair in zip(places, pairs) if pair is kind]
        if not chosen:
            continue
        encoding = tokenizer(
            [texts[i] for i in chosen], truncation=False, padding=False, return_tensors=None
        )
        for i, token_ids, segment_ids in zip(
            chosen, encoding["token_ids"], encoding["segment_ids"]
        ):
            prompts[i] = Prompt(np.array(token_ids, np.int32), np.array(segment_ids, np.int32))
    for i, text in enumerate(texts):
        if prompts[i] is None:
            token_ids = np.asarray(text)
            if token_ids.ndim != 1 or not np.issubdtype(token_ids.dtype, np.integer):
                raise TypeError(
                    "texts must be strings, pairs of strings or lists of token ids. Received at "
                    f"{i}: {type(text).__name__}"
                )
            _check_ids(token_ids, parts.vocab_size, i)
            prompts[i] = Prompt(token_ids.astype(np.int32), np.zeros(len(token_ids), np.int32))
        elif parts.application == "lm":
            prompts[i] = _open_end(prompts[i], tokenizer.end_id)
        if parts.application == "unilm":  # segment 1 is the target's
            prompts[i] = prompts[i]._replace(segment_ids=np.zeros_like(prompts[i].segment_ids))
        if len(prompts[i].token_ids) == 0:
            raise ValueError(f"There is nothing to start from: text {i} has no tokens.")
    return prompts if room is None else _shorten(prompts, room, parts, tokenizer, truncation)


def _check_ids(token_ids: np.ndarray, vocab_size: int, place: int) -> None:
    if len(token_ids) and not 0 <= token_ids.min() <= token_ids.max() < vocab_size:
        raise ValueError(
            f"Token ids must be from 0 to {vocab_size - 1}. Received at {place}: "
            f"{token_ids.min()} to {token_ids.max()}"
        )


def _open_end(prompt: Prompt, end_id: int | None) -> Prompt:
    """A prompt that is to be continued has no end token."""
    if len(prompt.token_ids) > 1 and end_id is not None and prompt.token_ids[-1] == end_id:
        return Prompt(prompt.token_ids[:-1], prompt.segment_ids[:-1])
    return prompt


def _shorten(prompts, room: int, parts: Parts, tokenizer, truncation: bool) -> list[Prompt]:
    """Prompts of at most ``room`` tokens: a source loses its end, what is continued its start."""
    long = [i for i, prompt in enumerate(prompts) if len(prompt.token_ids) > room]
    if not long:
        return prompts
    longest = max(len(prompts[i].token_ids) for i in long)
    said = (
        f"{len(long)} of {len(prompts)} prompts have more than the {room} tokens that "
        f"{parts.max_positions} positions leave beside the new ones (text {long[0]} first; "
        f"the longest has {longest})"
    )
    if not truncation:
        raise ValueError(f"{said}. Shorten them, or allow truncation=True.")
    logger.warning("%s: they are cut", said)
    prompts = list(prompts)
    for i in long:
        token_ids, segment_ids = prompts[i]
        if parts.application == "lm":  # the first token, then the last ones
            keep = np.r_[0, len(token_ids) - room + 1 : len(token_ids)]
        else:  # the end token stays
            keep = np.r_[0 : room - 1, len(token_ids) - 1]
        prompts[i] = Prompt(token_ids[keep], segment_ids[keep])
    return prompts


def pad(prompts: Sequence[Prompt], pad_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token ids and segment ids (texts, longest), padded on the right, and the lengths."""
    lengths = np.array([len(prompt.token_ids) for prompt in prompts], np.int32)
    token_ids = np.full((len(prompts), lengths.max()), pad_id, np.int32)
    segment_ids = np.zeros_like(token_ids)
    for row, prompt in enumerate(prompts):
        token_ids[row, : lengths[row]] = prompt.token_ids
        segment_ids[row, : lengths[row]] = prompt.segment_ids
    return token_ids, segment_ids, lengths
