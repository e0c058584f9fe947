"""One small made-up tokenizer of every class: what holds for all of them is tested on these."""

from __future__ import annotations

import functools

import pytest

from kerasbert.tokenizers import BaseTokenizer, Tokenizer
from tests.tokenizers.conftest import CHINESE, LETTERS, make_tokens
from tests.tokenizers.sentencepiece_models import SPECIAL, make_model


def make_wordpiece(**options) -> BaseTokenizer:
    return Tokenizer(make_tokens(), do_lower_case=True, **options)


def make_words_first(**options) -> BaseTokenizer:
    return Tokenizer(make_tokens(), pre_tokenize="jieba", **options)


def make_sentencepiece(flavour: str, **options) -> BaseTokenizer:
    from kerasbert.tokenizers import SentencePieceTokenizer

    model = make_model(SPECIAL[flavour], [*"▁!,.'[]<>", "▁hello", "lo", "北京", *LETTERS, *CHINESE])
    return SentencePieceTokenizer(model, flavour=flavour, **options)


def make_bytelevel(**options) -> BaseTokenizer:
    pytest.importorskip("tokenizers")
    from kerasbert.tokenizers import ByteLevelBPETokenizer
    from kerasbert.tokenizers.bytelevel_words import byte_characters

    tokens = ["<s>", "<pad>", "</s>", "<unk>", *byte_characters(), "he", "ll", "hell", "Ġa"]
    ids = {token: at for at, token in enumerate([*tokens, "<mask>"])}
    return ByteLevelBPETokenizer(ids, ["h e", "l l", "he ll", "Ġ a"], **options)


CLASSES = {
    "wordpiece": make_wordpiece,
    "words first": make_words_first,
    "bytelevel": make_bytelevel,
    **{
        f"sentencepiece {flavour}": functools.partial(make_sentencepiece, flavour)
        for flavour in ("albert", "xlnet", "xlm_roberta", "t5")
    },
}
