"""Small SentencePiece models, written here piece by piece."""

from __future__ import annotations

import string
import struct

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

SPECIAL = {
    "plain": ["<unk>", "<s>", "</s>", "<pad>", "<cls>"],
    "albert": ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"],
    "rembert": ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"],
    "deberta_v2": ["[PAD]", "[CLS]", "[SEP]", "[UNK]"],
    "xlm_roberta": ["<unk>", "<s>", "</s>"],
    "xlnet": ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>"],
    "t5": ["<pad>", "</s>", "<unk>"],
}
WORDS = ["▁the", "▁he", "llo", "▁world", "ing", "▁in", "ab", "▁a", "ny", "▁2", "▁ab", "ma", "sk"]
NUMBERS = ["▁2019,", "20", "19", "9,", "▁9,", "19,", "▁20", "5,", "▁3.5,"]
CHINESE = ["今天", "天气", "▁今天", "北京", *"今天气北京我爱很好，。▂▃"]
SENTENCES = [
    "hello world",
    "",
    "  ",
    " the  2019, any\tin 3.5, ",
    "今天天气很好，我爱北京。",
    "mix今天hello, 19, é ñ 😀 \u3000 end",
    "``quoted'' ''',  a'' b",
    "Ｆｕｌｌ ﬁ ㎞ … Ａ２０１９，",
    "ΣΑΣ ΟΔΟΣ. İstanbul",
    "a\x00b \ufffd \u200b x",
]
TEXT = [*WORDS, *NUMBERS, *CHINESE, "▁", *string.ascii_letters, *string.digits, *string.punctuation]


def field(number: int, value: int | float | str | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def make_model(special: list[str], text: list[str], further: dict[str, int] | None = None) -> bytes:
    """A unigram model without normalisation.

    Args:
        special: the first pieces; the one named ``<unk>`` or ``[UNK]`` is the unknown one.
        text: pieces of text; no two ways to split a text shall be equally likely, nearly.
        further: more pieces and their types.
    """
    kinds = {name: UNKNOWN if name in ("<unk>", "[UNK]") else CONTROL for name in special}
    kinds.update(dict.fromkeys(text, NORMAL))
    kinds.update(further or {})
    message = b""
    for at, (name, kind) in enumerate(kinds.items()):
        score = 0.0 if kind != NORMAL else -6 - 0.01237 * at - 0.000171 * at * at
        message += field(1, field(1, name) + field(2, score) + field(3, kind))
    unknown = next(name for name, kind in kinds.items() if kind == UNKNOWN)
    has_bytes = BYTE in kinds.values()
    trainer = field(3, 1) + field(40, list(kinds).index(unknown)) + field(45, unknown)
    trainer += b"".join(field(n, 2**64 - 1) for n in (41, 42, 43)) + field(35, int(has_bytes))
    normalizer = field(1, "identity") + field(3, 1) + field(4, 1) + field(5, 1)
    return message + field(2, trainer) + field(3, normalizer)


def model_of(flavour: str) -> bytes:
    """A model as a family has it."""
    return make_model(SPECIAL[flavour], TEXT)


MODELS = {flavour: model_of(flavour) for flavour in SPECIAL}
