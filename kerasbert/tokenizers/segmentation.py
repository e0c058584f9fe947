"""Cutting Chinese text into words, with jieba or rjieba: for WoBERT, RoFormer, whole word masks."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

NAMES = ("auto", "jieba", "rjieba")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Segmenter:
    """Text to words, by a segmenter that is named: see :func:`segmenter`.

    Pickles and configurations hold the arguments; the dictionary is loaded with the first text.

    Args:
        name: "auto", "jieba" or "rjieba".
        user_dict: lines "word [frequency] [tag]".
        hmm: whether to guess words that no dictionary has.
    """

    def __init__(self, name: str = "auto", user_dict: Iterable[str] = (), hmm: bool = False):
        self.name, self.user_dict, self.hmm = name, tuple(user_dict), hmm
        self._cut: Callable[[str, bool], list[str]] | None = None

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"name": self.name, "user_dict": list(self.user_dict), "hmm": self.hmm}

    def __call__(self, text: str) -> list[str]:
        """The words of a text in order; joined they are the text again."""
        if self._cut is None:
            self._cut = self._load()
        try:
            return self._cut(text, self.hmm)
        except UnicodeEncodeError:  # rjieba: a lone surrogate, which UTF-8 cannot hold
            found, at = [], 0
            for word in self._cut(_SURROGATES.sub("\ufffd", text), self.hmm):
                found.append(text[at : at + len(word)])
                at += len(word)
            return found

    def __reduce__(self):
        return Segmenter, (self.name, self.user_dict, self.hmm)

    def __repr__(self) -> str:
        return f"Segmenter({self.name!r}, {len(self.user_dict)} own words, hmm={self.hmm})"

    def _load(self) -> Callable[[str, bool], list[str]]:
        if self.name == "rjieba" or (self.name == "auto" and not self.user_dict):
            try:
                import rjieba

                return rjieba.cut
            except ImportError as error:
                if self.name == "rjieba":
                    raise ImportError(
                        "the segmenter rjieba is not installed: run `pip install rjieba`, or take "
                        'the slower "jieba".'
                    ) from error
        try:
            import jieba
        except ImportError as error:
            raise ImportError(
                "cutting text into words needs a segmenter: run `pip install jieba`, or "
                "`pip install rjieba`, which is about twenty times as fast."
            ) from error
        tokenizer = jieba.dt
        if self.user_dict:
            tokenizer = jieba.Tokenizer()  # not the one that all users of jieba share
            tokenizer.load_userdict(io.StringIO("\n".join(self.user_dict)))
        return lambda text, hmm: tokenizer.lcut(text, HMM=hmm)


def segmenter(
    name: str | Callable[[str], Iterable[str]] = "auto",
    user_dict: str | os.PathLike | Iterable[str] | None = None,
    hmm: bool = False,
) -> Callable[[str], Iterable[str]]:
    """A function that cuts a text into words.

    Args:
        name: "jieba"; "rjieba", the same in Rust, about twenty times as fast; "auto", rjieba where
            it is installed and there is no dictionary of one's own, else jieba; or any function of
            a text, which is returned as it is.
        user_dict: further words for jieba: a UTF-8 file or lines, each "word [frequency] [tag]".
        hmm: whether to guess words that no dictionary has, by jieba's hidden Markov model. WoBERT
            and RoFormer were trained without.

    Raises:
        ValueError: another name, or a dictionary for what takes none.
    """
    if callable(name):
        if user_dict is not None:
            raise ValueError("user_dict is for jieba: a function brings its own words.")
        return name
    if name not in NAMES:
        raise ValueError(f"a segmenter is one of {NAMES} or a function, got {name!r}.")
    if user_dict is None:
        lines: list[str] = []
    elif isinstance(user_dict, (str, os.PathLike)):
        lines = Path(user_dict).expanduser().read_text(encoding="utf-8-sig").splitlines()
    else:
        lines = list(user_dict)
    lines = [line.strip() for line in lines if line.strip()]
    if lines and name == "rjieba":
        raise ValueError('rjieba takes no dictionary here: name "jieba" (or "auto") for user_dict.')
    return Segmenter(name, lines, hmm)


def as_segmenter(
    given: str | Mapping[str, Any] | Callable[[str], Iterable[str]] | None,
) -> Callable[[str], Iterable[str]] | None:
    """What ``pre_tokenize`` stands for: a name, the arguments of :func:`segmenter`, a function."""
    if given is None:
        return None
    return segmenter(**given) if isinstance(given, Mapping) else segmenter(given)


def segmenter_config(function: Callable[[str], Iterable[str]] | None):
    """The reverse of :func:`as_segmenter`: names and arguments where there are such."""
    return function.get_config() if isinstance(function, Segmenter) else function
