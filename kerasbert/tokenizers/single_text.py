"""One text at a time, with the names and results of bert4keras."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence

from kerasbert.tokenizers.assembling import assemble_one
from kerasbert.tokenizers.inputs import as_text
from kerasbert.tokenizers.padding import Shape, longest_first

_ANY = Shape(padding=False)


class SingleText(abc.ABC):
    """The part of a tokenizer's interface that bert4keras has; a mixin of ``BaseTokenizer``."""

    def encode(
        self,
        first_text: str | Sequence[str],
        second_text: str | Sequence[str] | None = None,
        maxlen: int | None = None,
        pattern: str = "S*E*E",
        truncate_from: str | int = "right",
    ) -> tuple[list[int], list[int]]:
        """Encodes one text or pair; signature and results are bert4keras's.

        Special tokens and segment ids are those of :attr:`template`, except that token lists and
        patterns other than the default have one start and one end token around each text.

        Args:
            first_text: a text, or a list of tokens (special tokens included), which is left as it
                is.
            second_text: the same, or None.
            maxlen: most tokens in all, special tokens counted. As long as there are more, the
                longer text (the first of two equally long ones) loses one.
            pattern: "S*E*E" leaves out the start token of the second text; anything else keeps it.
            truncate_from: "right" (before the end token), "left" (after the start token), or the
                index at which tokens are taken out.

        Returns:
            Token ids and segment ids (for BERT 0 for the first text, 1 for the second).

        Raises:
            ValueError: ``maxlen`` cannot be reached.
        """
        template, is_pair = self._template, second_text is not None
        if maxlen is None and not is_pair and not template.end_segments:  # by far the usual call
            ids = self._ids_with_specials(first_text)
            return ids, [template.segments[0]] * len(ids)
        from_a_side = truncate_from in ("right", "left")
        if maxlen is not None and from_a_side and maxlen < template.count(is_pair):
            raise ValueError(
                f"maxlen={maxlen} is less than the {template.count(is_pair)} special tokens around "
                "the text."
            )
        texts = (first_text, second_text) if is_pair else (first_text,)
        if pattern == "S*E*E" and from_a_side and not any(map(_is_token_list, texts)):
            ids = [self._ids(as_text(text)) for text in texts]
            shape = _ANY if maxlen is None else Shape(maxlen, True, False, None, truncate_from)
            rows = assemble_one(ids[0], ids[1] if is_pair else None, template, shape, None)
            return rows["token_ids"], rows["segment_ids"]

        sequences = [self._ids_with_specials(text) for text in texts]
        joined = len(template.start) if is_pair and pattern == "S*E*E" else 0
        if maxlen is not None:
            sides = {"right": -1 - len(template.end), "left": len(template.start)}
            _truncate(sequences, maxlen + joined, sides.get(truncate_from, truncate_from))
        if is_pair:
            sequences[1] = sequences[1][joined:]
        segments = [at for at, ids in zip(template.segments, sequences) for _ in ids]
        return [token_id for ids in sequences for token_id in ids], segments

    def tokenize(self, text: str, maxlen: int | None = None) -> list[str]:
        """The tokens of a text with start and end token, at most ``maxlen`` in all."""
        ids = self._ids_with_specials(as_text(text))
        if maxlen is not None:
            _truncate([ids], maxlen, -1 - len(self._template.end))
        return self.ids_to_tokens(ids)

    def _ids_with_specials(self, text: str | bytes | Sequence[str]) -> list[int]:
        if _is_token_list(text):
            return self.tokens_to_ids(text)
        template = self._template
        return [*template.start, *self._ids(as_text(text)), *template.end]

    @abc.abstractmethod
    def decode(self, ids: Iterable[int], tokens: Sequence[str] | None = None) -> str:
        """The text of ids, or of ``tokens`` if given."""


def _is_token_list(text) -> bool:
    return not isinstance(text, (str, bytes)) and isinstance(text, Sequence)


def _truncate(sequences: list[list[int]], maxlen: int, index: int) -> None:
    """Takes elements at ``index`` out of the longest sequence until all fit ``maxlen`` together."""
    lengths = [len(sequence) for sequence in sequences]
    if len(lengths) == 1:
        kept = (min(*lengths, maxlen),)
    else:
        kept = longest_first(*lengths, maxlen, min, max)
    for sequence, length, keep in zip(sequences, lengths, kept):
        lost = length - keep
        start = index if index >= 0 else length + index + 1 - lost
        if lost and not 0 <= start <= keep:
            raise ValueError(
                f"cannot truncate to {maxlen} tokens by taking them out at index {index}: too few "
                "are left there. Give a larger maxlen."
            )
        del sequence[start : start + lost]
