"""Chunks of bytes to documents: lists of lines of clean text. Bad input is counted, never fatal."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

Document = list[str]  # its lines, each with text in it

_LONGEST_LINE = 1 << 17  # characters; longer ones are cut
# Bytes that are no UTF-8, and halves of characters in JSON's \u escapes.
_LONE = re.compile("[\ud800-\udfff]")


def read_documents(
    pieces: Iterable[tuple[str, bytes]],
    counts: Counter,
    text_field: str = "text",
    every_line: bool = False,
) -> Iterator[Document]:
    """The documents in parts of files.

    A text's documents are divided by empty lines. JSON lines hold one document each, an object
    whose ``text_field`` is a text or a list of lines.

    Args:
        pieces: kind ("text" or "json") and content, UTF-8 with or without a byte order mark.
        counts: receives numbers of ``bad_bytes`` (not UTF-8, left out), ``nul_characters`` (left
            out), ``broken_lines`` (no JSON), ``missing_fields`` and ``empty_documents``.
        text_field: of the JSON objects.
        every_line: whether each line of a text is a document of its own.
    """
    for kind, content in pieces:
        text = _decode(content, counts)
        if kind == "text":
            yield from _blocks(text, every_line)
            continue
        for row in _json_rows(text, counts):
            value = row.get(text_field)
            texts = value if isinstance(value, list) else [value]
            if value is None or not all(isinstance(each, str) for each in texts):
                counts["missing_fields"] += 1
                continue
            lines = [line for each in texts for line in _lines(_clean(each, counts))]
            if lines and every_line:
                yield from ([line] for line in lines)
            elif lines:
                yield lines
            else:
                counts["empty_documents"] += 1


def read_groups(pieces: Iterable[tuple[str, bytes]], counts: Counter) -> Iterator[Document]:
    """Groups of texts that mean the same, each with two texts at least.

    A line of a text holds a group, its texts divided by tabs. JSON lines are objects: ``texts``, a
    list, or, as SimBERT's own, ``text`` and the list ``synonyms``. Equal texts count once.

    Args:
        pieces: as for :func:`read_documents`.
        counts: the same, and ``small_groups``, which have a single text and are left out.
    """
    for kind, content in pieces:
        text = _decode(content, counts)
        if kind == "text":
            rows: Iterable = (line.split("\t") for line in text.split("\n") if line.strip())
        else:
            rows = (_texts_of(row) for row in _json_rows(text, counts))
        for texts in rows:
            if texts is None or not all(isinstance(each, str) for each in texts):
                counts["missing_fields"] += 1
                continue
            found = (" ".join(_lines(_clean(each, counts))) for each in texts)
            group = list(dict.fromkeys(filter(None, found)))
            if len(group) > 1:
                yield group
            else:
                counts["small_groups"] += 1


def digests(documents: Iterable[Document]) -> np.ndarray:
    """Hashes by which equal documents are found: uint64 (documents,). White space does not count.

    Of a hundred million different documents, the chance that any two have one hash is 0.03 %.
    """
    found = [
        hashlib.blake2b("".join("".join(lines).split()).encode(), digest_size=8).digest()
        for lines in documents
    ]
    return np.frombuffer(b"".join(found), "<u8")


class SeenDigests:
    """Which hashes have occurred, at 8 bytes for each, twice that for a moment as it grows."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []  # sorted, each more than half as long as the one before

    def add(self, found: np.ndarray) -> np.ndarray:
        """Adds hashes and says which of them are new: bool, the first of equal ones only."""
        is_new = np.zeros(len(found), bool)
        is_new[np.unique(found, return_index=True)[1]] = True
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, found), len(run) - 1)
            is_new &= run[at] != found
        added = np.sort(found[is_new])
        if len(added):
            while self._runs and len(self._runs[-1]) <= 2 * len(added):
                added = np.sort(np.concatenate([self._runs.pop(), added]), kind="stable")
            self._runs.append(added)
        return is_new


def _decode(content: bytes, counts: Counter) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text, bad = _LONE.subn("", content.decode("utf-8", "surrogateescape"))
        counts["bad_bytes"] += bad
    nuls = text.count("\0")
    if nuls:
        counts["nul_characters"] += nuls
        text = text.replace("\0", "")
    text = text[1:] if text.startswith("\ufeff") else text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _clean(text: str, counts: Counter) -> str:
    """Text of JSON without what its escapes can smuggle in."""
    if "\0" in text:
        counts["nul_characters"] += text.count("\0")
        text = text.replace("\0", "")
    text, bad = _LONE.subn("", text)
    if bad:
        counts["bad_bytes"] += bad
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(text: str) -> list[str]:
    return [line for line in _stripped(text) if line]


def _stripped(text: str) -> Iterator[str]:
    """The lines without white space around them; very long ones in parts."""
    for line in map(str.strip, text.split("\n")):
        if len(line) <= _LONGEST_LINE:
            yield line
            continue
        for at in range(0, len(line), _LONGEST_LINE):
            part = line[at : at + _LONGEST_LINE].strip()
            if part:  # an empty one would end the document
                yield part


def _blocks(text: str, every_line: bool) -> Iterator[Document]:
    if every_line:
        yield from ([line] for line in _lines(text))
        return
    document: Document = []
    for line in _stripped(text):
        if line:
            document.append(line)
        elif document:
            yield document
            document = []
    if document:
        yield document


def _json_rows(text: str, counts: Counter) -> Iterator[dict]:
    for line in text.split("\n"):
        if not line or line.isspace():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            counts["broken_lines"] += 1
            continue
        if isinstance(row, dict):
            yield row
        else:
            counts["missing_fields"] += 1


def _texts_of(row: dict) -> list | None:
    texts = row.get("texts")
    if texts is None and "text" in row:
        synonyms = row.get("synonyms")
        texts = [row["text"], *synonyms] if isinstance(synonyms, list) else None
    return texts if isinstance(texts, list) else None
