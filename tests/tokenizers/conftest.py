"""A small made-up vocabulary, and the shared recordings where they are at hand."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from kerasbert.tokenizers import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*string.ascii_letters, *string.digits, *"αας", *"éïσ", *"한", "一"]
WORDS = ["hello", "world", "un", "aff", "able", "be", "jing", "don", "re", "2020", "14", "##"]
CHINESE = list("我爱北京天安门科学技术是第一生产力年")
PUNCTUATION = [*string.punctuation, *"，。！？“”"]


def make_tokens() -> list[str]:
    plain = dict.fromkeys(LETTERS + WORDS + CHINESE)
    inner = [f"##{token}" for token in plain if not token.startswith("##")]
    return list(dict.fromkeys([*SPECIAL, *PUNCTUATION, *plain, *inner, "北京", "[unused1]"]))


@pytest.fixture(scope="session")
def tokens() -> list[str]:
    return make_tokens()


@pytest.fixture(scope="session")
def lower_tokenizer(tokens) -> Tokenizer:
    return Tokenizer(tokens, do_lower_case=True)


@pytest.fixture(scope="session")
def cased_tokenizer(tokens) -> Tokenizer:
    return Tokenizer(tokens)


@pytest.fixture(params=[True, False], ids=["lower", "cased"], scope="session")
def tokenizer(request, tokens) -> Tokenizer:
    return Tokenizer(tokens, do_lower_case=request.param)


@pytest.fixture(scope="session")
def golden(shared) -> Path:
    """The folder of recorded results beside the checkout."""
    return shared / "golden"
