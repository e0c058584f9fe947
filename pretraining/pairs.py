r"""Makes groups of similar sentences from raw text, for SimBERT's training without labelled pairs.

    python -m pretraining.pairs --input 'texts/*.txt' --output groups.jsonl --groups 150000

Each line of the result is ``{"texts": [sentence, changed copy]}``, which ``python -m
pretraining.corpus --style simbert`` reads. The copies are those of ``pretraining.alterations``.

What such pairs teach: a sentence vector that stays where it is when a few words are left out, moved
or added, and that is far from the vectors of other sentences. That second half, spreading vectors
that a masked language model leaves in a narrow cone, is most of the gain of SimCSE (Gao et al.
2021, arXiv:2104.08821) and ConSERT (Yan et al. 2021, arXiv:2105.11741). The generating half of
SimBERT learns what BART does (Lewis et al. 2019, arXiv:1910.13461): to restore a sentence from a
damaged copy.

What they do not teach: that other words can say the same (but for ``--synonyms``), that one word
more or less can be another question, or how people ask. Both sentences share nearly all their
characters, so common characters are what a model learns to look for; SimCSE found dropout alone to
be better than leaving out words. Pairs that people marked teach more, where there are any.

Which sentences are taken depends on the seed and the sentences alone: the N with the smallest
hashes, each once, in the order of these hashes, which is a random one. Memory is that of N
sentences whatever the size of the text.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm.auto import tqdm

from kerasbert.tokenizers.segmentation import NAMES, segmenter
from pretraining.alterations import Alterer, read_synonyms
from pretraining.texts import Texts

_SENTENCE = re.compile(r"(?:[^。！？!?；;…\n.]|\.(?!\s))+(?:[。！？!?；;…]+|\.)?[”’」』）)\"]*")
_UNIT = "[条條章节節款项項]"
_NUMBERING = re.compile(rf"第\S{{1,9}}?{_UNIT}\s+|[（(]?[\d一二三四五六七八九十]+[)）.、]\s*")
_QUOTES = ("“”", "‘’", "「」", "『』", "（）", "《》", "()")


def sentences(text: str, shortest: int = 6, longest: int = 40) -> Iterator[str]:
    """The sentences of a text that can stand alone.

    Args:
        text: a document or a line.
        shortest: characters of a sentence, at least.
        longest: at most.

    Yields:
        Sentences without the numbering before them and without quotation marks or brackets that
        have lost their partner. Those that are mostly digits and signs, or few characters over and
        over, are left out.
    """
    for part in _SENTENCE.findall(text):
        sentence = part.strip()
        numbering = _NUMBERING.match(sentence)
        sentence = sentence[numbering.end() :] if numbering else sentence
        for opening, closing in _QUOTES:
            if sentence.count(opening) != sentence.count(closing):
                sentence = sentence.replace(opening, "").replace(closing, "")
        sentence = sentence.strip()
        letters = [char for char in sentence if char.isalpha()]
        if (
            shortest <= len(sentence) <= longest
            and len(letters) >= 0.6 * len(sentence)
            and len(set(letters)) >= 0.4 * len(letters)
        ):
            yield sentence


def choose(found: Iterable[str], count: int, seed: int = 0) -> list[str]:
    """A random sample of the distinct sentences, the same in whatever order they come.

    Args:
        found: sentences; repeated ones count once.
        count: how many to take, or all if there are fewer.
        seed: another seed takes others.

    Returns:
        The sentences whose hashes are the smallest, in the order of their hashes.
    """
    key = str(seed).encode()
    heap: list[tuple[int, str]] = []  # the largest hash kept comes first
    kept: set[int] = set()
    for sentence in found:
        digest = hashlib.blake2b(sentence.encode("utf-8", "replace"), digest_size=8, key=key)
        number = int.from_bytes(digest.digest(), "big")
        if number in kept or (len(heap) == count and number >= -heap[0][0]):
            continue
        kept.add(number)
        if len(heap) < count:
            heapq.heappush(heap, (-number, sentence))
        else:
            kept.remove(-heapq.heapreplace(heap, (-number, sentence))[0])
    return [sentence for _, sentence in sorted(heap, reverse=True)]


def parse(argv=None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pretraining.pairs", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--input", nargs="+", required=True, help="files, folders, or patterns in quotes")
    add("--text-field", default="text", help="of the objects in JSON lines (text)")
    add("--output", type=Path, required=True, help="the groups.jsonl to write")
    add("--groups", type=int, default=100_000, help="how many, or fewer if the text has no more")
    add("--copies", type=int, default=1, help="changed copies of each sentence")
    add("--shortest", type=int, default=6, help="characters of a sentence, at least")
    add("--longest", type=int, default=40, help="characters of a sentence, at most")
    add("--segmenter", choices=NAMES, default="auto", help="what cuts sentences into words")
    add("--synonyms", help="lines of similar words; the format of the extended Cilin too")
    add("--seed", type=int, default=0)
    chosen = parser.parse_args(argv)
    for name in ("groups", "copies", "shortest"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} is a number from 1 on, got {getattr(chosen, name)}")
    if chosen.longest < chosen.shortest:
        parser.error(f"--longest {chosen.longest} is less than --shortest {chosen.shortest}")
    return chosen


def main(argv=None) -> int:
    """Makes the groups and writes them; returns their number."""
    chosen = parse(argv)
    similar = read_synonyms(chosen.synonyms) if chosen.synonyms else None
    alterer = Alterer(segmenter(chosen.segmenter), similar, chosen.seed)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    texts = Texts(chosen.input, chosen.text_field, progress=True)
    found = (
        sentence for text in texts for sentence in sentences(text, chosen.shortest, chosen.longest)
    )
    taken = choose(found, chosen.groups, chosen.seed)
    for complaint in texts.complaints():
        print(complaint, file=sys.stderr)
    if not taken:
        raise ValueError(
            f"no sentence of {chosen.shortest} to {chosen.longest} characters was found."
        )
    groups = ([s, *alterer.copies(s, chosen.copies)] for s in tqdm(taken, unit="group"))
    written = _write(chosen.output, (group for group in groups if len(group) > 1))
    print(
        f"{chosen.output}: {written:,} groups; {len(taken) - written:,} sentences had nothing to "
        "change and were left out."
    )
    return written


def _write(path: Path, groups: Iterable[list[str]]) -> int:
    """Writes the lines, all or nothing; returns their number."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    written = 0
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            for group in groups:
                file.write(json.dumps({"texts": group}, ensure_ascii=False) + "\n")
                written += 1
        os.chmod(temporary, 0o644)  # mkstemp makes files that only the owner may read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return written


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"error: {error}")
