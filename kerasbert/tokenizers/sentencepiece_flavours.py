"""What differs between the families that use SentencePiece: special tokens, ids, text rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from kerasbert.tokenizers.padding import Template
from kerasbert.tokenizers.sentencepiece_text import TextRules


@dataclass(frozen=True)
class Flavour:
    """How a family uses SentencePiece.

    Attributes:
        token_start: put before a text; None for none.
        token_end: put after a text; None for none.
        token_pad: fills short rows.
        token_mask: stands for a word to guess.
        token_last: put after everything, with a segment id of its own (2); None for none.
        ends_between: how often ``token_end`` stands between the texts of a pair.
        segments: the segment ids of the first and the second text.
        pad_segment: the segment id of padding.
        padding_side: "right" or "left".
        rules: what is done to a text first.
        splits_numbers: whether a piece that ends in a digit and a comma is split again ("2019,").
        fairseq: whether ids are those of fairseq: ``<s> <pad> </s> <unk>``, then the pieces.
        appended: tokens after the pieces, if these do not hold them.
        file_name: what the model file is usually called.
        huggingface_class: what the Transformers library calls the tokenizer.
        sentinels: how many tokens ``<extra_id_n>`` follow the pieces if these hold none, the last
            one first.
    """

    token_start: str | None = None
    token_end: str | None = None
    token_pad: str = "<pad>"
    token_mask: str = "<mask>"
    token_last: str | None = None
    ends_between: int = 1
    segments: tuple[int, int] = (0, 1)
    pad_segment: int = 0
    padding_side: str = "right"
    rules: TextRules = field(default_factory=TextRules)
    splits_numbers: bool = False
    fairseq: bool = False
    appended: tuple[str, ...] = ()
    sentinels: int = 0
    file_name: str = "spiece.model"
    huggingface_class: str | None = None

    def template(self, start_id: int | None, end_id: int | None, last_id: int | None) -> Template:
        """What stands around a text and a pair of texts."""
        start = () if start_id is None else (start_id,)
        end = () if end_id is None else (end_id,)
        last = () if last_id is None else (last_id,)
        return Template(
            start,
            end * self.ends_between,
            end + last,
            segments=self.segments,
            end_segments=(*[None] * len(end), *[2] * len(last)) if last else (),
            pad_segment=self.pad_segment,
            padding_side=self.padding_side,
        )


_ALBERT_RULES = TextRules(squeeze_spaces=True, replace_quotes=True, strip_accents=True, lower=True)
_XLNET_RULES = TextRules(squeeze_spaces=True, replace_quotes=True, strip_accents=True)

FLAVOURS = {
    "plain": Flavour(),
    "albert": Flavour(
        "[CLS]",
        "[SEP]",
        token_mask="[MASK]",
        rules=_ALBERT_RULES,
        splits_numbers=True,
        huggingface_class="AlbertTokenizer",
    ),
    "rembert": Flavour(
        "[CLS]",
        "[SEP]",
        token_mask="[MASK]",
        file_name="sentencepiece.model",
        huggingface_class="RemBertTokenizer",
    ),
    "deberta_v2": Flavour(
        "[CLS]",
        "[SEP]",
        "[PAD]",
        "[MASK]",
        appended=("[MASK]",),
        file_name="spm.model",
        huggingface_class="DebertaV2Tokenizer",
    ),
    "xlm_roberta": Flavour(
        "<s>",
        "</s>",
        ends_between=2,
        segments=(0, 0),
        fairseq=True,
        appended=("<mask>",),
        file_name="sentencepiece.bpe.model",
        huggingface_class="XLMRobertaTokenizer",
    ),
    "xlnet": Flavour(
        None,
        "<sep>",
        token_last="<cls>",
        pad_segment=4,
        padding_side="left",
        rules=_XLNET_RULES,
        splits_numbers=True,
        huggingface_class="XLNetTokenizer",
    ),
    "t5": Flavour(None, "</s>", segments=(0, 0), sentinels=100, huggingface_class="T5Tokenizer"),
}


def find_flavour(name: str) -> Flavour:
    """The flavour of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in FLAVOURS:
        raise ValueError(f"flavour must be one of {', '.join(FLAVOURS)}, got {name!r}.")
    return FLAVOURS[name]
