"""SentencePiece: ids, special tokens, offsets, decoding and configurations of every flavour."""

from __future__ import annotations

import inspect
import json
import pickle
import sys

import numpy as np
import pytest

pytest.importorskip("sentencepiece")

import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import Tokenizer
from kerasbert.tokenizers.sentencepiece import SentencePieceTokenizer
from kerasbert.tokenizers.sentencepiece_engine import (
    LibraryEngine,
    TensorFlowTextEngine,
    make_engine,
)
from tests.tokenizers.sentencepiece_models import (
    BYTE,
    CHINESE,
    MODELS,
    SENTENCES,
    SPECIAL,
    TEXT,
    USER_DEFINED,
    make_model,
)

FLAVOURS = list(MODELS)
TEXTS = [*SENTENCES, "a \ud800 x"]
SOME_TEXT = st.lists(
    st.one_of(
        st.sampled_from([piece.replace("▁", " ") for piece in TEXT]),
        st.text(max_size=4),
        st.sampled_from(["é", "  ", "\u3000", "Σ", "ﬁ", "''", "2019,", "\n"]),
    ),
    max_size=12,
).map("".join)


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, SentencePieceTokenizer]:
    return {name: SentencePieceTokenizer(model, name) for name, model in MODELS.items()}


@pytest.fixture(params=FLAVOURS)
def tokenizer(request, tokenizers) -> SentencePieceTokenizer:
    return tokenizers[request.param]


# Ids.


@pytest.mark.parametrize("flavour", ["plain", "rembert", "t5"])
@given(text=SOME_TEXT)
def test_ids_are_the_librarys(flavour, text):
    tokenizer = _made(flavour)
    library = sentencepiece.SentencePieceProcessor(model_proto=MODELS[flavour])
    clean = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    assert tokenizer._encode_text(text) == library.encode(clean)


@given(text=SOME_TEXT)
def test_xlm_roberta_has_the_ids_of_fairseq(text):
    tokenizer = _made("xlm_roberta")
    library = sentencepiece.SentencePieceProcessor(model_proto=MODELS["xlm_roberta"])
    clean = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    expected = [at + 1 if at else 3 for at in library.encode(clean)]
    assert tokenizer._encode_text(text) == expected


def test_xlm_robertas_vocabulary(tokenizers):
    tokenizer = tokenizers["xlm_roberta"]
    assert tokenizer.ids_to_tokens(range(4)) == ["<s>", "<pad>", "</s>", "<unk>"]
    assert tokenizer.vocab_size == len(SPECIAL["xlm_roberta"]) + len(TEXT) + 2
    assert tokenizer.mask_id == tokenizer.vocab_size - 1
    assert tokenizer.id_to_token(4) == TEXT[0]
    assert (tokenizer.start_id, tokenizer.pad_id, tokenizer.end_id, tokenizer.unk_id) == (
        0,
        1,
        2,
        3,
    )


def _made(flavour: str, **options) -> SentencePieceTokenizer:
    key = (flavour, tuple(sorted(options.items())))
    if key not in _MADE:
        _MADE[key] = SentencePieceTokenizer(MODELS[flavour], flavour, **options)
    return _MADE[key]


_MADE: dict = {}


def encode_pieces(library, text: str) -> list[str]:
    """ALBERT's rule on numbers, written after its description, text by text."""
    found = []
    for piece in library.encode(text, out_type=str):
        if len(piece) > 1 and piece.endswith(",") and piece[-2].isdigit():
            parts = library.encode(piece[:-1].replace("▁", ""), out_type=str)
            if not piece.startswith("▁") and parts[0].startswith("▁"):
                parts = parts[1:] if parts[0] == "▁" else [parts[0][1:], *parts[1:]]
            found += [*parts, ","]
        else:
            found.append(piece)
    return found


@pytest.mark.parametrize("flavour", ["albert", "xlnet"])
@given(text=SOME_TEXT)
def test_numbers_are_split_again(flavour, text):
    tokenizer = _made(flavour)
    library = sentencepiece.SentencePieceProcessor(model_proto=MODELS[flavour])
    clean = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    pieces = encode_pieces(library, tokenizer.rules.apply(clean))
    expected = [tokenizer.token_dict.get(piece, tokenizer.unk_id) for piece in pieces]
    assert tokenizer._encode_text(text) == expected


def test_a_number_and_its_comma(tokenizers):
    albert, rembert = tokenizers["albert"], tokenizers["rembert"]
    assert rembert.tokenize("in 2019, any")[1:-1] == ["▁in", "▁2019,", "▁a", "ny"]
    assert albert.tokenize("in 2019, any")[1:-1] == ["▁in", "▁20", "19", ",", "▁a", "ny"]


@given(texts=st.lists(SOME_TEXT, max_size=4))
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_batches_are_single_texts(flavour, texts):
    tokenizer = _made(flavour)
    single = [tokenizer(text, padding=False, return_tensors=None)["token_ids"] for text in texts]
    plain = tokenizer(texts, padding=False, return_tensors=None)
    offsets = tokenizer(texts, padding=False, return_tensors=None, return_offsets=True)
    assert single == plain["token_ids"] == offsets["token_ids"]


def test_large_batches_use_threads(tokenizer):
    texts = ["hello 今天天气 2019, any world"] * 300 + TEXTS
    assert sum(map(len, texts)) > 4096
    rows = tokenizer(texts, padding=False, return_tensors=None)["token_ids"]
    assert rows == [tokenizer(text, return_tensors=None)["token_ids"] for text in texts]


def test_a_long_line(tokenizer):
    text = "hello 今天天气 2019, any world " * 20000
    assert len(tokenizer(text, return_tensors=None)["token_ids"]) > 100_000


def test_no_texts(tokenizer):
    assert tokenizer([])["token_ids"].shape == (0, 0)
    assert tokenizer([], return_offsets=True)["offsets"].shape[0] == 0


def test_bytes_are_utf8(tokenizer):
    assert (
        tokenizer("今天".encode())["token_ids"].tolist() == tokenizer("今天")["token_ids"].tolist()
    )


def test_a_lone_surrogate_is_read_as_the_replacement_character(tokenizer):
    assert tokenizer._encode_text("a\ud800b") == tokenizer._encode_text("a\ufffdb")
    assert tokenizer(["a\udfff" * 3000], return_offsets=True)["offsets"].max() == 6000


# Special tokens.


@pytest.mark.parametrize(
    ("flavour", "one", "two", "segments"),
    [
        ("plain", "▁a", "▁a ▁in", [0, 1]),
        ("albert", "[CLS] ▁a [SEP]", "[CLS] ▁a [SEP] ▁in [SEP]", [0, 0, 0, 1, 1]),
        ("rembert", "[CLS] ▁a [SEP]", "[CLS] ▁a [SEP] ▁in [SEP]", [0, 0, 0, 1, 1]),
        ("deberta_v2", "[CLS] ▁a [SEP]", "[CLS] ▁a [SEP] ▁in [SEP]", [0, 0, 0, 1, 1]),
        ("xlm_roberta", "<s> ▁a </s>", "<s> ▁a </s> </s> ▁in </s>", [0] * 6),
        ("xlnet", "▁a <sep> <cls>", "▁a <sep> ▁in <sep> <cls>", [0, 0, 1, 1, 2]),
        ("t5", "▁a </s>", "▁a </s> ▁in </s>", [0] * 4),
    ],
)
def test_what_stands_around_texts(tokenizers, flavour, one, two, segments):
    tokenizer = tokenizers[flavour]
    assert tokenizer.ids_to_tokens(tokenizer("a")["token_ids"]) == one.split()
    pair = tokenizer("a", "in")
    assert tokenizer.ids_to_tokens(pair["token_ids"]) == two.split()
    assert pair["segment_ids"].tolist() == segments


def test_xlnet_pads_on_the_left_with_a_segment_of_its_own(tokenizers):
    batch = tokenizers["xlnet"](["a", "a in the world"])
    pad = tokenizers["xlnet"].pad_id
    assert batch["token_ids"][0, :3].tolist() == [pad] * 3
    assert batch["segment_ids"][0].tolist() == [4, 4, 4, 0, 0, 2]
    assert batch["attention_mask"][0].tolist() == [0, 0, 0, 1, 1, 1]


def test_padding_side_can_be_chosen():
    tokenizer = SentencePieceTokenizer(MODELS["xlnet"], "xlnet", padding_side="right")
    assert tokenizer(["a", "a in the"])["attention_mask"][0].tolist() == [1, 1, 1, 0, 0]


def test_plain_has_no_special_tokens_around_unless_the_model_holds_berts():
    assert SentencePieceTokenizer(MODELS["t5"]).tokenize("a") == ["▁a"]
    assert SentencePieceTokenizer(MODELS["albert"]).tokenize("a") == ["[CLS]", "▁a", "[SEP]"]
    own = SentencePieceTokenizer(MODELS["t5"], token_start=None, token_end="</s>")
    assert own.encode("a", "in") == (
        own.tokens_to_ids(["▁a", "</s>", "▁in", "</s>"]),
        [0, 0, 1, 1],
    )


def test_t5_sentinels(tokenizers):
    t5 = tokenizers["t5"]
    pieces = len(SPECIAL["t5"]) + len(TEXT)
    assert t5.vocab_size == pieces + 100
    assert t5.sentinel_ids == [t5.vocab_size - 1 - n for n in range(100)]
    tokens = t5.tokenize("the <extra_id_0> world <extra_id_1>in <extra_id_10>")
    expected = "▁the <extra_id_0> ▁world <extra_id_1> ▁in <extra_id_10> </s>"
    assert [token for token in tokens if token != "▁"] == expected.split()
    assert SentencePieceTokenizer(MODELS["t5"], "t5", extra_ids=0).vocab_size == pieces
    assert SentencePieceTokenizer(MODELS["t5"], "t5", extra_ids=3).sentinel_ids == [
        pieces + 2,
        pieces + 1,
        pieces,
    ]


def test_mt5_holds_its_sentinels_itself():
    held = {f"▁<extra_id_{n}>": USER_DEFINED for n in (2, 1, 0)}
    mt5 = SentencePieceTokenizer(make_model(SPECIAL["t5"], TEXT, held), "t5")
    assert mt5.vocab_size == len(SPECIAL["t5"]) + len(TEXT) + 3
    assert mt5.sentinel_ids == [mt5.vocab_size - 1 - n for n in range(3)]
    assert mt5.tokenize("the <extra_id_1> world") == ["▁the", "▁<extra_id_1>", "▁world", "</s>"]


def test_special_tokens_in_a_text(tokenizers):
    albert = tokenizers["albert"]
    assert albert.tokenize("the [MASK] in")[1:-1] == ["▁the", "[MASK]", "▁in"]
    split = SentencePieceTokenizer(MODELS["albert"], "albert", keep_special_tokens=False)
    assert "[MASK]" not in split.tokenize("the [MASK] in")


def test_tokens_added(tokenizers):
    tokenizer = SentencePieceTokenizer(MODELS["albert"], "albert", added_tokens=["<e1>"])
    assert tokenizer.vocab_size == tokenizers["albert"].vocab_size + 1
    assert tokenizer.encode("the <e1> in")[0][2] == tokenizer.vocab_size - 1


# Text rules.


def test_flavours_that_change_the_text(tokenizers):
    assert {name for name, tokenizer in tokenizers.items() if tokenizer.rules} == {
        "albert",
        "xlnet",
    }
    text = " ``Café''\t HE  said "
    assert tokenizers["albert"].rules.apply(text) == '"cafe" he said'
    assert tokenizers["xlnet"].rules.apply(text) == '"Cafe" HE said'


def test_rules_can_be_chosen():
    def rules(**options):
        return _made("albert", **options).rules.apply(" ``Café''\t HE ")

    assert rules(do_lower_case=False) == '"Cafe" HE'
    assert rules(keep_accents=True) == '"café" he'
    assert rules(replace_quotes=False) == "``cafe'' he"
    assert rules(remove_space=False) == ' "cafe"\t he '


# keep_tokens, token_translate, pre_tokenize.


@pytest.mark.parametrize("flavour", ["albert", "xlm_roberta", "t5"])
def test_keep_tokens(tokenizers, flavour):
    whole = tokenizers[flavour]
    dropped = {"llo", "今天", "▁今天", "▁2019,", "19,", "ing"}
    kept = [at for at in range(whole.vocab_size) if whole.id_to_token(at) not in dropped]
    kept = kept[::-1]
    small = SentencePieceTokenizer(MODELS[flavour], flavour, keep_tokens=kept)
    assert small.vocab_size == len(kept)
    assert [small.token_to_id(whole.id_to_token(at)) for at in kept] == list(range(len(kept)))
    text = "hello 今天, ing 2019, <mask> [MASK] é"
    tokens = small.tokenize(text)
    assert not dropped & set(tokens)
    assert small.decode(small.encode(text)[0]) == whole.decode(whole.encode(text)[0])
    assert [kept[at] for at in small.encode("the world")[0]] == whole.encode("the world")[0]
    rows = small([text, "a"], padding=False, return_tensors=None)["token_ids"]
    assert rows[0] == small(text, return_tensors=None)["token_ids"]


@pytest.mark.parametrize("keep", [[0, 1, 2, 3, 10_000], [0, 1, 1, 2, 3], [0, 2, 3, 9], [-1, 1]])
def test_keep_tokens_that_do_not_fit(keep):
    with pytest.raises(ValueError, match="keep_tokens must"):
        SentencePieceTokenizer(MODELS["albert"], "albert", keep_tokens=keep)


def cut(text: str) -> list[str]:
    """CPM's segmentation, in small: two characters to a word, spaces and line feeds replaced."""
    words = [text[at : at + 2] for at in range(0, len(text), 2)]
    return [word.replace(" ", "\u2582").replace("\n", "\u2583") for word in words]


def test_words_first_and_tokens_translated():
    """As bert4keras's example for CPM has it."""
    tokenizer = SentencePieceTokenizer(
        MODELS["plain"], pre_tokenize=cut, token_translate={"\u2583": "<cls>"}
    )
    text = "今天天气\n很好，hello 北京"
    ids = tokenizer.encode(text)[0]
    assert tokenizer.token_to_id("<cls>") in ids
    assert tokenizer.token_to_id("\u2583") not in ids
    plain = tokenizer.decode(ids).replace(" ", "")
    assert plain.replace("\u2582", " ").replace("\u2583", "\n") == text
    assert tokenizer._encode_batch([text], False).ids.tolist() == ids
    encoding = tokenizer(text, return_offsets=True)
    spans = [text[a:b] for a, b in encoding["offsets"] if b > a]
    assert "".join(spans) == text  # its spaces are pieces here


def test_decode_leaves_out_the_spaces_of_the_segmenter():
    tokenizer = SentencePieceTokenizer(MODELS["plain"], pre_tokenize=lambda text: text.split("|"))
    ids = tokenizer.encode("今天|天气|hello|world|很好")[0]
    assert tokenizer.decode(ids) == "今天天气hello world很好"


def test_pre_tokenize_by_name():
    pytest.importorskip("jieba")
    tokenizer = SentencePieceTokenizer(MODELS["plain"], pre_tokenize="jieba")
    assert tokenizer.decode(tokenizer.encode("今天天气很好")[0]) == "今天天气很好"
    again = SentencePieceTokenizer.from_config(json.loads(json.dumps(tokenizer.get_config())))
    assert again.encode("今天天气很好") == tokenizer.encode("今天天气很好")


# Ids to text.


@pytest.mark.parametrize(
    "text", ["hello world", "今天天气很好，我爱北京。", "in 2019, the any", "a"]
)
def test_decode_is_the_reverse(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)[0]) == tokenizer.rules.apply(text)


def test_decode_leaves_out_special_and_unknown_tokens(tokenizer):
    ids = [*tokenizer.encode("the \U0001f600 in")[0], tokenizer.pad_id, tokenizer.unk_id]
    assert tokenizer.decode(ids).split() == ["the", "in"]
    assert tokenizer.decode([], tokens=["▁the", "llo"]) == "thello"


def test_byte_pieces():
    further = {f"<0x{byte:02X}>": BYTE for byte in range(256)}
    model = make_model(SPECIAL["t5"], TEXT, further)
    tokenizer = SentencePieceTokenizer(model, "t5")
    tokens = tokenizer.tokenize("a 😀")
    assert tokens == ["▁a", "▁", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "</s>"]
    assert tokenizer.decode(tokenizer.encode("a 😀 b")[0]) == "a 😀 b"


# Offsets.


@pytest.mark.parametrize("flavour", FLAVOURS)
@given(text=SOME_TEXT)
def test_offsets_re_tokenize_to_the_token(flavour, text):
    tokenizer = _made(flavour, keep_special_tokens=False)
    ids, starts, ends = tokenizer._encode_with_offsets(text)
    assert ids == tokenizer._encode_text(text)
    assert all(0 <= start <= end <= len(text) for start, end in zip(starts, ends))
    assert starts == sorted(starts) and ends == sorted(ends)
    for token_id, start, end in zip(ids, starts, ends):
        span = text[start:end]
        assert span == span.strip()
        if token_id != tokenizer.unk_id and span:
            token = tokenizer.id_to_token(token_id).replace("▁", "")
            assert token in tokenizer.rules.apply(span).replace(" ", "")


def test_offsets_point_at_words_not_at_the_spaces_before():
    text = "the  world, 今天"
    found = _made("rembert")(text, return_offsets=True)
    assert [text[a:b] for a, b in found["offsets"]] == ["", "the", "world", ",", "今天", ""]


def test_offsets_through_the_text_rules():
    text = "  ``CAFE\u0301''  2019, ㎞"
    found = _made("albert")._encode_with_offsets(text)
    spans = [(text[a:b], _made("albert").id_to_token(i)) for i, a, b in zip(*found)]
    assert ("``", '▁"') in spans or ("``", '"') in spans
    assert ("''", '"') in spans
    assert ("E", "e") in spans
    assert [span for span, _ in spans][-6:] == ["20", "19", ",", "", "㎞", "㎞"]


# Configurations.


def test_config_holds_every_argument(tokenizer):
    config = tokenizer.get_config()
    assert set(config) == set(inspect.signature(SentencePieceTokenizer).parameters)
    assert json.loads(json.dumps(config)) == config


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_lower_case": False, "keep_accents": True, "token_end": None},
        {"keep_tokens": list(range(60)), "added_tokens": ["<e1>"], "padding_side": "left"},
        {"keep_special_tokens": ["the"], "token_translate": {"a": "b"}, "model_max_length": 7},
    ],
)
def test_round_trips(options):
    model = make_model(SPECIAL["albert"], ["the", *TEXT])
    tokenizer = SentencePieceTokenizer(model, "albert", **options)
    config = tokenizer.get_config()
    for again in (
        SentencePieceTokenizer.from_config(json.loads(json.dumps(config))),
        pickle.loads(pickle.dumps(tokenizer)),
    ):
        assert again.get_config() == config
        for ours, theirs in zip(tokenizer(TEXTS).values(), again(TEXTS).values()):
            np.testing.assert_array_equal(ours, theirs)


def test_saved_folders(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path)
    assert type(again) is SentencePieceTokenizer
    assert again.get_config() == tokenizer.get_config()


def test_a_path_is_read(tmp_path):
    (tmp_path / "spiece.model").write_bytes(MODELS["t5"])
    for path in (tmp_path / "spiece.model", str(tmp_path / "spiece.model")):
        assert SentencePieceTokenizer(path, "t5").model == MODELS["t5"]


# Errors.


def test_what_is_no_model():
    with pytest.raises(ValueError, match=r"no SentencePiece model.*complete"):
        SentencePieceTokenizer(MODELS["t5"][:-100], "t5")
    with pytest.raises(ValueError, match="It is text"):
        SentencePieceTokenizer("\n".join(["[PAD]", *TEXT[:9]]).encode(), "albert")
    with pytest.raises(ValueError, match="no SentencePiece model"):
        SentencePieceTokenizer(b"", "albert")
    with pytest.raises(TypeError, match="path or the bytes"):
        SentencePieceTokenizer(["a"], "albert")


def test_a_model_that_the_library_refuses():
    twice = MODELS["t5"] + MODELS["t5"]  # every piece is there two times
    with pytest.raises(ValueError, match="cannot read the model"):
        SentencePieceTokenizer(twice, "t5")


def test_the_wrong_flavour():
    with pytest.raises(ValueError, match="flavour must be one of plain, albert"):
        SentencePieceTokenizer(MODELS["t5"], "mt5")
    with pytest.raises(ValueError, match="begins with the pieces <unk>, <s>, </s>"):
        SentencePieceTokenizer(MODELS["t5"], "xlm_roberta")
    with pytest.raises(ValueError, match=r"token_start '\[CLS\]'"):
        SentencePieceTokenizer(MODELS["t5"], "albert")


# Engines.


def test_without_the_library_tensorflow_text_stands_in(monkeypatch):
    pytest.importorskip("tensorflow_text")
    library = make_engine(MODELS["plain"])
    assert type(library) is LibraryEngine
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    other = make_engine(MODELS["plain"])
    assert type(other) is TensorFlowTextEngine
    for text in TEXTS:
        assert other.encode(text) == library.encode(text)
    for texts in (TEXTS, [""], []):
        for method in ("encode_batch", "encode_with_offsets"):
            rows = zip(getattr(library, method)(texts), getattr(other, method)(texts))
            for ours, theirs in rows:
                np.testing.assert_array_equal(ours, theirs)


def test_without_both_the_error_says_what_to_install(monkeypatch):
    for name in ("sentencepiece", "tensorflow_text"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install sentencepiece"):
        SentencePieceTokenizer(MODELS["t5"], "t5")


def test_a_trained_model_normalises(tmp_path):
    """A model of the library's own trainer, with its default normalisation."""
    import io

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(CHINESE), "hello world of pieces, 2019 ab"] * 20),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    tokenizer = SentencePieceTokenizer(model.getvalue())
    library = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    text = "ｈｅｌｌｏ  ﬁ 今天。２０１９"
    assert tokenizer._encode_text(text) == library.encode(text)
    ids, starts, ends = tokenizer._encode_with_offsets(text)
    spans = "".join(dict.fromkeys(text[a:b] for a, b in zip(starts, ends)))
    assert set(spans) == set(text) - {" "}
    assert tokenizer.ids_to_tokens(ids) == library.id_to_piece(ids)
