"""Offsets: the part of the text that a token lies at tokenizes to that token again."""

from __future__ import annotations

import gzip
import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import BaseTokenizer, Tokenizer
from tests.tokenizers.classes import CLASSES
from tests.tokenizers.table import RECORDINGS


class Span(NamedTuple):
    """A token, the text at its offsets, and the characters of it at which other tokens lie too."""

    token_id: int
    text: str
    shared: str


def spans_of(tokenizer: BaseTokenizer, texts: list[str]) -> set[Span]:
    """The different spans of all tokens that are of any text."""
    found = tokenizer(texts, padding=False, return_tensors=None, return_offsets=True)
    first, last = len(tokenizer.template.start), len(tokenizer.template.end)
    spans = set()
    for text, ids, offsets in zip(texts, found["token_ids"], found["offsets"]):
        own = slice(first, len(ids) - last)
        before, afters = 0, [start for start, _ in offsets[own]][1:] + [len(text)]
        for at, (start, end), after in zip(ids[own], offsets[own], afters):
            if start < end:
                shared = text[start:before] + text[max(after, start) : end]
                spans.add(Span(at, text[start:end], shared))
                before = end
            elif spell(tokenizer, [at]):  # SentencePiece: the last of them lies at the character
                before = end + 1
    return spans


def spell(tokenizer: BaseTokenizer, ids: list[int]) -> str:
    """The tokens without the marks of where a word starts or goes on.

    The small sigma at the end of a word is another letter: whether a span ends one, the span alone
    cannot tell.
    """
    tokens = tokenizer.ids_to_tokens(ids)
    if isinstance(tokenizer, Tokenizer):
        return "".join(map(tokenizer.stem, tokens)).replace("ς", "σ")
    return "".join(token.replace("▁", "").lstrip("Ġ") for token in tokens)


def wrong_spans(tokenizer: BaseTokenizer, texts: list[str]) -> list[tuple[Span, list[str]]]:
    """The spans whose text does not tokenize to the token, and to what it does.

    To the token itself, or to others that spell the same: "##able" lies at "able", which starts a
    word when it stands alone. A character that becomes several tokens ("…", or a Chinese character
    in bytes) is what each of them lies at, so the token is a part of what that tokenizes to. No
    other character may be shared. Where the first of those tokens is unknown, SentencePiece counts
    it to the unknown text before the character ("ŉ" is an unknown apostrophe and "n").
    """
    spans, wrong = sorted(spans_of(tokenizer, texts)), []
    start, end = len(tokenizer.template.start), len(tokenizer.template.end)

    def encode(texts):
        return [ids[start : len(ids) - end] for ids in tokenizer.encode_ids(texts)]

    shared = sorted({char for span in spans for char in span.shared})
    several = {char for char, ids in zip(shared, encode(shared)) if len(spell(tokenizer, ids)) > 1}
    for span, ids in zip(spans, encode([span.text for span in spans])):
        spelled, token = spell(tokenizer, ids), spell(tokenizer, [span.token_id])
        is_part = bool(span.shared) and several.issuperset(span.shared) and token in spelled
        known = spelled.replace(str(tokenizer._token_unk), "")
        is_unknown = tokenizer.unk_id == span.token_id in ids
        if not (token in (spelled, known) or is_part or is_unknown):
            wrong.append((span, tokenizer.ids_to_tokens(ids)))
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda one: one.name)
def test_all_recorded_lines(golden, recording):
    tokenizer = recording.make(golden)
    with gzip.open(golden / recording.lines, "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    assert len(spans_of(tokenizer, texts)) > 1_000
    assert wrong_spans(tokenizer, texts) == []


MADE: dict[str, BaseTokenizer] = {}


@pytest.mark.parametrize("name", CLASSES)
@given(
    texts=st.lists(
        st.text("hello 我爱北京aéïﬁ…한,.'!\u3000\n\u0301", max_size=16), min_size=1, max_size=9
    )
)
def test_any_text(name, texts):
    tokenizer = MADE.get(name) or MADE.setdefault(name, CLASSES[name]())
    assert wrong_spans(tokenizer, texts) == []


def test_a_wrong_offset_is_seen(monkeypatch):
    tokenizer = CLASSES["wordpiece"]()
    encode = tokenizer._encode_batch

    def move(texts, with_offsets):
        rows = encode(texts, with_offsets)
        return rows._replace(ends=rows.ends + 1) if with_offsets else rows

    monkeypatch.setattr(tokenizer, "_encode_batch", move)
    assert wrong_spans(tokenizer, ["我爱"])
