"""Reading and writing WordPiece vocabularies (``vocab.txt``: one token per line, id = line)."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kerasbert.tokenizers.characters import is_cjk, is_punctuation

_LFS_MARK = b"version https://git-lfs"


def load_vocab(
    dict_path: str | os.PathLike | Mapping[str, int] | Iterable[str],
    encoding: str = "utf-8",
    simplified: bool = False,
    startswith: Sequence[str] | None = None,
) -> dict[str, int] | tuple[dict[str, int], list[int]]:
    """Loads a vocabulary; the signature and the two kinds of result are bert4keras's.

    Ids are line numbers, as in Google's code: an empty or repeated line keeps its number and later
    lines do not move. Of a repeated token the last line counts, with a warning. Only the first
    white-space separated field of a line is the token; when every line has a number as its second
    field (ERNIE: ``token<TAB>id``), that is the id.

    Args:
        dict_path: a ``vocab.txt``, or a list of tokens, or a dict of token to id.
        encoding: of the file. A byte order mark and Windows line ends are accepted.
        simplified: drop tokens of several characters that hold a Chinese character or punctuation,
            which includes ``[MASK]`` and ``##`` before a Chinese character, and number the rest
            anew.
        startswith: tokens to put first when ``simplified``, such as
            ``["[PAD]", "[UNK]", "[CLS]", "[SEP]"]``.

    Returns:
        Token to id. With ``simplified``, that dict and ``keep_tokens``: the old id of every new id,
        which ``build_transformer_model(keep_tokens=...)`` takes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a vocabulary; the message says what it is instead.
    """
    vocabulary = token_ids(read_tokens(dict_path, encoding))
    if not simplified:
        return vocabulary
    missing = [token for token in startswith or () if token not in vocabulary]
    if missing:
        raise ValueError(
            f"startswith names tokens that the vocabulary does not hold: {missing}. "
            "Leave them out, or check that this is the vocabulary you meant."
        )
    kept = dict.fromkeys(startswith or ())
    kept.update(dict.fromkeys(filter(_is_simple, sorted(vocabulary, key=vocabulary.__getitem__))))
    return {token: at for at, token in enumerate(kept)}, [vocabulary[token] for token in kept]


def save_vocab(
    dict_path: str | os.PathLike,
    token_dict: Mapping[str, int] | Sequence[str | None],
    encoding: str = "utf-8",
) -> None:
    """Writes a vocabulary, one token per line in the order of the ids, all or nothing.

    Args:
        dict_path: the file to write.
        token_dict: token to id, or the tokens in order. Ids without a token become empty lines.
        encoding: of the file.
    """
    tokens = read_tokens(token_dict)
    write_whole(Path(dict_path), "".join(f"{token or ''}\n" for token in tokens).encode(encoding))


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp makes files that only the owner may read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_tokens(
    source: str | os.PathLike | Mapping[str, int] | Iterable[str | None], encoding: str = "utf-8"
) -> list[str | None]:
    """The tokens by id (None where an id has no token) of a file, a list or a dict.

    Args:
        source: path of a ``vocab.txt``, tokens in the order of their ids, or token to id.
        encoding: of the file.

    Raises:
        ValueError: nothing in it, or not a vocabulary.
    """
    if isinstance(source, Mapping):
        tokens = _by_id(source.items(), "the vocabulary dict")
    elif isinstance(source, (str, os.PathLike)):
        tokens = _read_file(Path(source), encoding)
    else:
        tokens = list(source)
        wrong = next((t for t in tokens if not isinstance(t, (str, type(None)))), None)
        if wrong is not None:
            raise ValueError(f"a vocabulary list holds strings, but it has {wrong!r} in it.")
    if not any(tokens):
        raise ValueError(f"the vocabulary {_name(source)} is empty.")
    return tokens


def token_ids(tokens: Sequence[str | None]) -> dict[str, int]:
    """Token to id from the tokens by id; of equal tokens the last one counts, as in Google's."""
    vocabulary = {token: at for at, token in enumerate(tokens) if token is not None}
    repeated = len(tokens) - tokens.count(None) - len(vocabulary)
    if repeated > max(tokens.count("") - 1, 0):  # several empty lines alone do no harm
        seen: set[str | None] = set()
        examples = [t for t in tokens if t and (t in seen or seen.add(t))][:3]
        warnings.warn(
            f"the vocabulary repeats {repeated} of its tokens, for example {examples}: ids are "
            "line numbers, and the last line of a repeated token counts (as in Google's code).",
            stacklevel=3,
        )
    return vocabulary


def _is_simple(token: str) -> bool:
    stem = token[2:] if token.startswith("##") else token
    return len(token) <= 1 or not any(is_cjk(char) or is_punctuation(char) for char in stem)


def _name(source) -> str:
    return repr(str(source)) if isinstance(source, (str, os.PathLike)) else "given"


def _read_file(path: Path, encoding: str) -> list[str | None]:
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder: give the vocab.txt in it.")
    return parse_vocabulary(path.read_bytes(), encoding, repr(str(path)))


def vocabulary_lines(tokens: Sequence[str | None], encoding: str = "utf-8") -> bytes | None:
    """The content of a ``vocab.txt``; None where it cannot be written (a lone surrogate)."""
    try:
        return "".join(f"{token or ''}\n" for token in tokens).encode(encoding)
    except UnicodeEncodeError:
        return None


def parse_vocabulary(
    content: bytes, encoding: str = "utf-8", name: str = "the vocabulary"
) -> list[str | None]:
    """The tokens by id of the content of a ``vocab.txt``.

    Args:
        content: of the file.
        encoding: of the content.
        name: of the file, for messages.

    Raises:
        ValueError: it is not a vocabulary.
    """
    if content.startswith(_LFS_MARK):
        raise ValueError(
            f"{name} is a Git LFS pointer, not the vocabulary itself: "
            "run `git lfs pull` in the repository, or download the file."
        )
    if b"\0" in content[:4096] or content.startswith(b"\n\x0e\n"):
        raise ValueError(
            f"{name} is binary, perhaps a SentencePiece model; a WordPiece vocabulary is a "
            "text file with one token per line (vocab.txt)."
        )
    try:
        text = content.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not {encoding} text ({error}): give the right `encoding`."
        ) from error
    # Not str.splitlines: U+2028 and U+0085 are characters of published vocabularies.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    fields = [line.split() for line in lines]
    if fields and all(len(field) == 2 and _is_number(field[1]) for field in fields):
        if not all(field[1].isdecimal() for field in fields):
            raise ValueError(
                f"{name} holds a score after each token, as the .vocab file beside a "
                "SentencePiece model does: it is not a WordPiece vocabulary."
            )
        return _by_id(((token, int(number)) for token, number in fields), name)
    return [field[0] if field else "" for field in fields]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _by_id(items: Iterable[tuple[str, int]], name: str) -> list[str | None]:
    pairs = [(token, int(number)) for token, number in items]
    largest = max((number for _, number in pairs), default=-1)
    smallest = min((number for _, number in pairs), default=0)
    if smallest < 0 or largest > 10 * len(pairs) + 1000:
        raise ValueError(
            f"{name} holds ids from {smallest} to {largest} for {len(pairs)} tokens: "
            "ids count from 0 to the number of tokens."
        )
    tokens: list[str | None] = [None] * (largest + 1)
    for token, number in pairs:
        if tokens[number] is not None:
            raise ValueError(
                f"{name} gives id {number} to both {tokens[number]!r} and {token!r}: "
                "every token needs an id of its own."
            )
        tokens[number] = token
    return tokens
