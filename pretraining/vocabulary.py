r"""Learns the vocabulary of a model from raw text.

    python -m pretraining.vocabulary --input 'texts/*.txt' --size 8000 --output vocab.txt

The text is cut into words by the tokenizer's own rules, so that what is learnt is what the
tokenizer will look for: a Chinese character or a punctuation mark is a word, simplified and
traditional forms apart, and so is a run of Latin letters and digits. The vocabulary holds

1. [PAD], [UNK], [CLS], [SEP] and [MASK], with ids 0 to 4;
2. what is there whatever the text: ASCII, each letter and digit also with ``##``, and Chinese
   punctuation. Any ASCII text can be spelt;
3. by frequency, characters of the text and the pieces that ``pretraining.word_pieces`` learns from
   its Latin words and numbers, until the size is reached.

A word becomes [UNK] if one of its characters was too rare; every other word can be spelt. The
result depends on the text and the settings alone, not on the number of workers.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import string
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

from kerasbert.tokenizers.characters import (
    CAPITAL_SIGMA,
    CJK_RANGES,
    Rules,
    is_cjk,
    is_whitespace,
    settle_sigmas,
    split_words,
)
from kerasbert.tokenizers.vocabulary import save_vocab
from pretraining.documents import read_documents
from pretraining.texts import Pieces, Texts
from pretraining.word_pieces import learn_pieces, spell
from pretraining.workers import Workers

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHINESE_PUNCTUATION = "，。、；：？！“”‘’（）《》〈〉「」『』【】〔〕—…·～￥"
LONGEST_WORD = 200  # characters: the tokenizer calls longer words unknown
_MOST_WORDS = 2_000_000  # kept in memory: when there are more, those met once are forgotten
_SPACES = "".join(char for char in map(chr, range(0x3001)) if is_whitespace(char))
_CJK = "".join(f"{chr(first)}-{chr(last)}" for first, last in CJK_RANGES)
_RUNS = re.compile(f"[^{re.escape(_SPACES)}{_CJK}]+")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What was learnt.

    Attributes:
        tokens: by id.
        pieces: how many of them are pieces of several characters.
        words: words of the text, as the tokenizer counts them.
        unknown: how many of those become [UNK].
    """

    tokens: list[str]
    pieces: int
    words: int
    unknown: int


def count_words(texts: Iterable[str], lower_case: bool = True) -> Counter[str]:
    """Counts the words of texts as the tokenizer with the same ``do_lower_case`` finds them."""
    rules = Rules(lower=lower_case, strip_accents=lower_case)
    text = "\n".join(texts)
    if lower_case and CAPITAL_SIGMA in text:
        text = settle_sigmas(text)
    found = Counter({char: n for char, n in Counter(text).items() if is_cjk(char)})
    found.update(_RUNS.findall(text))
    words: Counter[str] = Counter()
    for run, count in found.items():
        for word, _ in split_words(run, rules):
            words[word] += count
    return words


def count_files(texts: Texts, lower_case: bool = True, workers: int = 1) -> Counter[str]:
    """Counts the words of any amount of text, in several processes if asked.

    Args:
        texts: the files; ``texts.complaints()`` tells afterwards what was wrong in them.
        lower_case: as for :func:`count_words`.
        workers: processes; 1 counts in this one.

    Returns:
        Word to count. Beyond two million distinct words those that were met once are forgotten, at
        the same places of the text whatever the number of workers.

    Raises:
        ValueError: for less than one worker.
        RuntimeError: a worker process died.
    """
    if workers < 1:
        raise ValueError(f"at least one worker counts, got workers={workers}.")
    words: Counter[str] = Counter()
    waiting: dict[int, tuple] = {}  # finished before an earlier chunk
    chunks = ((number, (pieces,)) for number, pieces in enumerate(texts.chunks()))
    following = 0
    with Workers(workers, (lower_case, texts.text_field)) as pool:
        for number, result in pool.run(_count_chunk, chunks):
            waiting[number] = result
            while following in waiting:
                found, counts = waiting.pop(following)
                following += 1
                texts.counts.update(counts)
                words.update(found)
                if len(words) > _MOST_WORDS:
                    words = Counter({word: count for word, count in words.items() if count > 1})
    return words


def learn_vocabulary(
    words: Mapping[str, int], size: int, min_count: int = 2, lower_case: bool = True
) -> Vocabulary:
    """Chooses the tokens.

    Args:
        words: word to how often it occurs, as :func:`count_words` gives them.
        size: most tokens, special ones included. It is less where the text has no more.
        min_count: characters and pieces that are rarer are left out.
        lower_case: whether the words are lower-cased.

    Raises:
        ValueError: there are no words, or the size leaves no room for what is always there.
    """
    always = _always(lower_case)
    if size < len(always):
        raise ValueError(
            f"a vocabulary of {size} tokens is too small: {len(always)} are always there (special "
            f"tokens, ASCII, Chinese punctuation). Give at least --size {len(always)}."
        )
    if min_count < 1:
        raise ValueError(f"min_count is a number of places from 1 on, got {min_count}.")
    if not words:
        raise ValueError("there is no text to learn a vocabulary from: no word was found.")
    usable = {w: n for w, n in words.items() if len(w) <= LONGEST_WORD and _is_writable(w)}
    characters: Counter[str] = Counter()
    for word, count in usable.items():
        for piece in spell(word):
            characters[piece] += count
    room = size - len(always)
    kept = {piece for piece, count in characters.items() if count >= min_count}.union(always)
    several = {w: n for w, n in usable.items() if len(w) > 1 and kept.issuperset(spell(w))}
    pieces = learn_pieces(several, room, max(min_count, 2))
    # A piece is never more frequent than its characters: with these first among equals, nothing
    # is taken that is spelt with a character left out.
    ranked = sorted(
        chain(
            ((-count, 0, piece) for piece, count in characters.items() if count >= min_count),
            ((-count, 1, piece) for piece, count in pieces.items()),
        )
    )
    tokens = list(dict.fromkeys(chain(always, (piece for _, _, piece in ranked))))[:size]
    chosen = set(tokens)
    known = sum(n for word, n in usable.items() if chosen.issuperset(spell(word)))
    total = sum(words.values())
    return Vocabulary(tokens, len(chosen.intersection(pieces)), total, total - known)


def _always(lower_case: bool) -> list[str]:
    letters = string.ascii_lowercase if lower_case else string.ascii_letters
    alphabet = string.digits + letters
    inside = ["##" + char for char in alphabet]
    return [*SPECIAL, *string.punctuation, *CHINESE_PUNCTUATION, *alphabet, *inside]


def _is_writable(word: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in word)  # JSON may hold half a character


def _count_chunk(state: tuple[bool, str], pieces: Pieces) -> tuple[Counter, Counter]:
    """The words of a part of the files, and what was wrong in it."""
    lower_case, text_field = state
    counts: Counter = Counter()
    lines = chain.from_iterable(read_documents(pieces, counts, text_field))
    return count_words(lines, lower_case), counts


def parse(argv=None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pretraining.vocabulary", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--input", nargs="+", required=True, help="files, folders, or patterns in quotes")
    add("--text-field", default="text", help="of the objects in JSON lines (text)")
    add("--output", type=Path, required=True, help="the vocab.txt to write")
    add("--size", type=int, default=8000, help="most tokens, special ones included")
    add("--min-count", type=int, default=2, help="leave out what is rarer")
    case = parser.add_mutually_exclusive_group()
    case.add_argument("--lower-case", action="store_true", default=True, help="the default")
    case.add_argument("--cased", dest="lower_case", action="store_false", help="keep capitals")
    add("--workers", type=int, default=1, help="processes that count; the result is the same")
    return parser.parse_args(argv)


def main(argv=None) -> Vocabulary:
    """Learns a vocabulary and writes it."""
    chosen = parse(argv)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    texts = Texts(chosen.input, chosen.text_field, progress=True)
    words = count_files(texts, chosen.lower_case, chosen.workers)
    for complaint in texts.complaints():
        print(complaint, file=sys.stderr)
    learnt = learn_vocabulary(words, chosen.size, chosen.min_count, chosen.lower_case)
    save_vocab(chosen.output, learnt.tokens)
    print(
        f"{chosen.output}: {len(learnt.tokens)} tokens, {learnt.pieces} of them pieces of several "
        f"characters. Of {learnt.words:,} words {learnt.unknown:,} are [UNK] "
        f"({learnt.unknown / learnt.words:.4%})."
    )
    return learnt


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        sys.exit(f"error: {error}")
