"""From WordPiece tokens back to text and to positions in it, after bert4keras's conventions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kerasbert.tokenizers.characters import Rules, is_cjk, is_punctuation, split_words

# Punctuation after which no space follows: full-width and Chinese forms, and some ASCII signs.
_TIGHT = (
    r"[-+/={(<\[\u00b7\u2013\u2014\u2018-\u201f\u2026\u2027\u3000-\u303f\ufe4f-\ufe54\uff00-\uff65]"
)
_MANY_SPACES = re.compile(" +")
_CLITIC = re.compile(r"' (re|m|s|t|ve|d|ll)(?![0-9A-Za-z])")
_TIGHT_SPACE = re.compile(f"({_TIGHT}) ")
_DECIMAL = re.compile(r"(\d\.) (\d)")


def join_tokens(tokens: Sequence[str]) -> str:
    """Text of WordPiece tokens: no spaces around Chinese characters, "3.14" and "it's" in one."""
    parts: list[str] = []
    for token in tokens:
        if token.startswith("##"):
            parts.append(token[2:])
        elif len(token) == 1 and is_cjk(token):
            parts.append(token)
        elif len(token) == 1 and is_punctuation(token):
            parts.append(token + " ")
        elif parts and parts[-1] and is_cjk(parts[-1][-1]):
            parts.append(token)
        else:
            parts.append(" " + token)
    text = _MANY_SPACES.sub(" ", "".join(parts))
    text = _CLITIC.sub(r"'\1", text)
    text = _TIGHT_SPACE.sub(r"\1", text)
    return _DECIMAL.sub(r"\1\2", text).strip()


def find_tokens(text: str, tokens: Sequence[str], rules: Rules) -> list[list[int]]:
    """For each token the positions of the characters of ``text`` it was made of, by search.

    Args:
        text: the original text.
        tokens: tokens in the order of the text; "" for one that has no place in it.
        rules: how the tokens are normalised.

    Raises:
        ValueError: a token is not found after the one before it.
    """
    words = split_words(text, rules)
    normal = "".join(word for word, _ in words)
    origins = [at for _, places in words for at in places]
    positions, cursor = [], 0
    for token in tokens:
        start = normal.find(token, cursor)
        if start < 0:
            raise ValueError(
                f"the token {token!r} does not follow in the text after its first {cursor} "
                "characters: give the text and the tokens of one and the same tokenizer."
            )
        cursor = start + len(token) if token else cursor
        positions.append(sorted(set(origins[start:cursor])) if token else [])
    return positions
