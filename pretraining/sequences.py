"""The pure function at the heart of corpus preparation: a chunk of bytes to records.

It runs in one process, in many, or on Apache Beam, and knows of none of them: its result depends on
the recipe and the chunk alone.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from typing import NamedTuple

import numpy as np

from kerasbert.tokenizers import BaseTokenizer
from pretraining.documents import digests, read_documents, read_groups
from pretraining.packing import Plan, pack_sentences
from pretraining.reading import Chunk
from pretraining.records import TokenStream
from pretraining.segment_pairs import pair_segments, pair_similar
from pretraining.segmentation import Segment
from pretraining.tokens import Tokens, tokenize


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How documents become records. Can be pickled.

    Attributes:
        tokenizer: text to ids.
        segment: text to words; None for the tokenizer's words.
        style: one of :data:`pretraining.records.STYLES`.
        max_length: most tokens of a sequence.
        seed: of all that is drawn.
        documents: as for :func:`pretraining.packing.pack_sentences`, in style "roberta".
        repeats: how often each document is gone through, paired otherwise each time.
        short_seq_prob: share of documents that are cut into shorter sequences ("bert", "albert").
        text_field: of JSON objects.
        every_line: whether each line of a text is a document.
    """

    tokenizer: BaseTokenizer
    segment: Segment | None
    style: str
    max_length: int
    seed: int
    documents: str = "separated"
    repeats: int = 1
    short_seq_prob: float = 0.1
    text_field: str = "text"
    every_line: bool = False


class Prepared(NamedTuple):
    """What a chunk became.

    Attributes:
        records: serialised, in random order.
        counts: of what was in the chunk and what was wrong with it.
    """

    records: list[bytes]
    counts: Counter


def find_digests(recipe: Recipe, chunk: Chunk) -> np.ndarray:
    """Hashes of a chunk's documents: uint64 (documents,)."""
    return digests(_documents(recipe, chunk, Counter()))


def prepare_chunk(recipe: Recipe, chunk: Chunk, keep: np.ndarray | None = None) -> Prepared:
    """Makes the records of a chunk.

    Args:
        recipe: how.
        chunk: some documents.
        keep: bool (documents,), False for those that occurred before; None keeps all.
    """
    counts: Counter = Counter(cut_documents=chunk.cuts)
    documents = _documents(recipe, chunk, counts)
    if keep is not None:
        counts["duplicates"] = int(np.sum(~keep))
        documents = [document for document, is_kept in zip(documents, keep) if is_kept]
    tokens = tokenize(documents, recipe.tokenizer, recipe.segment)
    rng = random.Random(f"{recipe.seed} {chunk.group} {chunk.number}")
    plans = [plan for _ in range(recipe.repeats) for plan in _plan(recipe, tokens, rng)]
    rng.shuffle(plans)
    special = special_ids(recipe.tokenizer)
    stream = TokenStream(tokens.ids, tokens.word_starts, special["cls"], special["sep"])
    if recipe.style == "bert" and len(documents) == 1:
        counts["chunks_of_one_document"] = 1  # its random next segments are of its own
    sizes = (1 + sum(end - begin + 1 for begin, end in plan.slices) for plan in plans)
    counts.update(
        documents=len(documents),
        lines=sum(map(len, documents)),
        characters=sum(len(line) for document in documents for line in document),
        text_tokens=len(tokens.ids),
        words=int(tokens.word_starts.sum()),
        unknown_tokens=int(np.sum(tokens.ids == special["unk"])),
        examples=len(plans),
        tokens=sum(sizes),
    )
    return Prepared([stream.record(*plan) for plan in plans], counts)


def special_ids(tokenizer: BaseTokenizer) -> dict[str, int]:
    """Ids of the tokens that pretraining needs.

    Raises:
        ValueError: the vocabulary lacks one.
    """
    found = {
        "pad": tokenizer.pad_id,
        "unk": tokenizer.unk_id,
        "cls": tokenizer.start_id,
        "sep": tokenizer.end_id,
        "mask": tokenizer.mask_id,
    }
    missing = [name for name, at in found.items() if at is None]
    if missing:
        raise ValueError(
            f"the tokenizer has no {', '.join(missing)} token, which pretraining needs: take a "
            "vocabulary of the BERT kind, or add the tokens to it."
        )
    return found


def _documents(recipe: Recipe, chunk: Chunk, counts: Counter) -> list[list[str]]:
    if recipe.style == "simbert":
        return list(read_groups(chunk.pieces, counts))
    return list(read_documents(chunk.pieces, counts, recipe.text_field, recipe.every_line))


def _plan(recipe: Recipe, tokens: Tokens, rng: random.Random) -> list[Plan]:
    if recipe.style == "simbert":
        return pair_similar(tokens, recipe.max_length, rng)
    if recipe.style in ("bert", "albert"):
        swap = recipe.style == "albert"
        return pair_segments(tokens, recipe.max_length, recipe.short_seq_prob, swap, rng)
    documents = "apart" if recipe.style == "short" else recipe.documents
    return pack_sentences(tokens, recipe.max_length, documents)
