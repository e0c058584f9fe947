"""The methods of bert4keras: the same results, without its defects."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.tokenizers import Tokenizer, load_vocab


def test_tokenize_and_encode(lower_tokenizer):
    found = lower_tokenizer.tokenize("我爱Beijing，2020年！")
    assert found == ["[CLS]", "我", "爱", "be", "##i", "##jing", "，", "2020", "年", "！", "[SEP]"]
    ids, segments = lower_tokenizer.encode("我爱Beijing，2020年！")
    assert ids == lower_tokenizer.tokens_to_ids(found)
    assert segments == [0] * len(ids)
    assert lower_tokenizer.tokenize("我爱北京", maxlen=4) == ["[CLS]", "我", "爱", "[SEP]"]


def test_unknown_words_are_the_unknown_token(lower_tokenizer):
    assert lower_tokenizer.tokenize("饕餮 ж") == ["[CLS]", "[UNK]", "[UNK]", "[UNK]", "[SEP]"]


def test_pairs(lower_tokenizer):
    ids, segments = lower_tokenizer.encode("我爱", "北京")
    assert lower_tokenizer.ids_to_tokens(ids) == ["[CLS]", *"我爱", "[SEP]", *"北京", "[SEP]"]
    assert segments == [0, 0, 0, 0, 1, 1, 1]
    ids, segments = lower_tokenizer.encode("我爱", "北京", pattern="S*ES*E")
    assert lower_tokenizer.ids_to_tokens(ids) == [
        *["[CLS]", "我", "爱", "[SEP]", "[CLS]", "北", "京", "[SEP]"]
    ]
    assert segments == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("truncate_from", "left"),
    [
        ("right", ["[CLS]", "我", "爱", "[SEP]", "年", "[SEP]"]),
        ("left", ["[CLS]", "北", "京", "[SEP]", "年", "[SEP]"]),
        (2, ["[CLS]", "我", "京", "[SEP]", "年", "[SEP]"]),
        (-3, ["[CLS]", "我", "京", "[SEP]", "年", "[SEP]"]),
    ],
)
def test_truncation_takes_from_the_longer_text(lower_tokenizer, truncate_from, left):
    ids, _ = lower_tokenizer.encode("我爱北京", "年", maxlen=6, truncate_from=truncate_from)
    assert lower_tokenizer.ids_to_tokens(ids) == left


def test_too_small_maxlen(lower_tokenizer):
    assert lower_tokenizer.encode("我爱", "北京", maxlen=3)[0] == [2, 3, 3]
    with pytest.raises(ValueError, match="maxlen=2 is less than the 3 special tokens"):
        lower_tokenizer.encode("我爱", "北京", maxlen=2)
    with pytest.raises(ValueError, match="larger maxlen"):
        lower_tokenizer.tokenize("我爱", maxlen=0)
    with pytest.raises(ValueError, match="index 7"):
        lower_tokenizer.encode("我爱北京天安门年", maxlen=4, truncate_from=7)


def test_token_lists_are_left_as_they_are(lower_tokenizer):
    first = ["[CLS]", "我", "爱", "北", "京", "[SEP]"]
    second = ["[CLS]", "天", "[SEP]"]
    before = list(first), list(second)
    ids, _ = lower_tokenizer.encode(first, second, maxlen=5)
    assert (first, second) == before
    assert lower_tokenizer.ids_to_tokens(ids) == ["[CLS]", "我", "[SEP]", "天", "[SEP]"]


def test_no_start_and_end_tokens(tokens):
    tokenizer = Tokenizer(tokens, token_start=None, token_end=None)
    assert tokenizer.tokenize("我爱") == ["我", "爱"]
    ids, segments = tokenizer.encode("我爱北", "京天", maxlen=4)
    assert tokenizer.ids_to_tokens(ids) == ["我", "爱", "京", "天"]
    assert segments == [0, 0, 1, 1]
    assert tokenizer._token_start_id is None


def test_attributes_and_ids(lower_tokenizer, tokens):
    ids = [lower_tokenizer._token_pad_id, lower_tokenizer._token_unk_id]
    ids += [lower_tokenizer._token_start_id, lower_tokenizer._token_end_id]
    assert [*ids, lower_tokenizer._token_mask_id] == [0, 1, 2, 3, 4]
    assert lower_tokenizer.vocab_size == len(lower_tokenizer) == len(tokens)
    assert lower_tokenizer.token_to_id("no such token") == 1
    assert lower_tokenizer.id_to_token(np.int32(4)) == "[MASK]"
    assert [Tokenizer.stem("##a"), Tokenizer.stem("a")] == ["a", "a"]
    with pytest.raises(ValueError, match=f"from 0 to {len(tokens) - 1}"):
        lower_tokenizer.ids_to_tokens([len(tokens)])
    with pytest.raises(ValueError, match="id -1 has no token"):
        lower_tokenizer.id_to_token(-1)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("[UNK]", r"token_unk '\[UNK\]'"), ("[CLS]", "token_start"), ("[SEP]", "token_end")],
)
def test_a_missing_special_token(tokens, missing, message):
    rest = [token for token in tokens if token != missing]
    with pytest.raises(ValueError, match=message):
        Tokenizer(rest)


def test_the_error_shows_what_the_vocabulary_has_instead(tokens):
    other = [token.replace("[UNK]", "<unk>") for token in tokens]
    with pytest.raises(ValueError, match=r"<unk>.*token_unk=\.\.\."):
        Tokenizer(other)
    assert Tokenizer(other, token_unk="<unk>").tokenize("ж") == ["[CLS]", "<unk>", "[SEP]"]


def test_vocabulary_size_counts_lines_with_repeats_and_holes(tmp_path, tokens):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*tokens, "我", ""]) + "\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="repeats 1"):
        tokenizer = Tokenizer(path)
    assert tokenizer.vocab_size == len(tokens) + 2
    assert tokenizer.token_to_id("我") == len(tokens)
    assert tokenizer.id_to_token(tokens.index("我")) == "我"
    with pytest.warns(UserWarning):
        again = Tokenizer.from_config(tokenizer.get_config())
    assert again.encode("我") == tokenizer.encode("我")


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["[CLS]", "我", "爱", "be", "##jing", "，", "年", "[SEP]"], "我爱bejing，年"),
        (["don", "'", "t", "we", "'", "re", "3", ".", "14"], "don't we're 3.14"),
        (["it", "'", "s"], "it's"),
        (["hello", ",", "world", "!", "a"], "hello, world! a"),
        (["a", "+", "b", "=", "c", "(", "d", ")"], "a+b=c(d)"),
        (["“", "我", "”", "a", "。", "b"], "“我”a。b"),
        (["我", "[UNK]", "[MASK]", "爱", "[unused1]"], "我爱"),
        (["[", "ma", "##sk", "]", "和"], "[mask] 和"),
        (["##a", "b"], "a b"),
        ([], ""),
    ],
)
def test_decode(lower_tokenizer, pieces, text):
    assert lower_tokenizer.decode([], pieces) == text


def test_decode_takes_arrays(lower_tokenizer):
    ids = np.array(lower_tokenizer.encode("我爱hello world。")[0])
    assert lower_tokenizer.decode(ids) == "我爱hello world。"


CLEAN = st.lists(
    st.one_of(st.sampled_from(["hello", "world", "un", "be", "a", "2020"]), st.just("我爱北京")),
    min_size=1,
)


@given(CLEAN)
def test_encode_decode_round_trip(lower_tokenizer, words):
    text = " ".join(words)
    decoded = lower_tokenizer.decode(lower_tokenizer.encode(text)[0])
    assert decoded.replace(" ", "") == text.replace(" ", "")
    assert lower_tokenizer.encode(decoded) == lower_tokenizer.encode(text) or "京a" in decoded


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        ("我爱Beijing", [[], [0], [1], [2, 3], [4], [5, 6, 7, 8], []]),
        ("a\u200bb\0c，", [[], [0], [2], [4], [5], []]),
        ("İa", [[], [0], [1], []]),
        ("cafe\u0301 x", [[], [0], [1], [2], [3], [6], []]),
        ("饕 ж1 我", [[], [0], [2, 3], [5], []]),
        ("한", [[], [0], [0], [0], []]),
        ("", [[], []]),
    ],
)
def test_rematch(lower_tokenizer, text, positions):
    assert lower_tokenizer.rematch(text, lower_tokenizer.tokenize(text)) == positions


def test_rematch_of_truncated_tokens(lower_tokenizer):
    text = "饕我爱餮北京"
    full = lower_tokenizer.tokenize(text)
    assert lower_tokenizer.rematch(text, [*full[:3], "[SEP]"]) == [[], [0], [1], []]
    assert lower_tokenizer.rematch(text, ["[CLS]", *full[4:]]) == [[], [3], [4], [5], []]


def test_rematch_of_other_tokens(lower_tokenizer):
    """Unknown words as their own text, as bert4keras gives them; parts left out."""
    assert lower_tokenizer.rematch("饕餮 我爱", ["[CLS]", "饕", "餮", "爱"]) == [[], [0], [1], [4]]
    assert lower_tokenizer.rematch("我Bc", ["我", "[MASK]", "b", "##c"]) == [[0], [], [1], [2]]
    with pytest.raises(ValueError, match="one and the same tokenizer"):
        lower_tokenizer.rematch("我爱", ["天"])


def test_words_given_by_a_segmenter(tokens):
    tokenizer = Tokenizer(tokens, do_lower_case=True, pre_tokenize=lambda text: text.split("|"))
    text = "我爱|北京|Beijing|饕"
    assert tokenizer.tokenize(text)[1:-1] == ["我", "爱", "北京", "be", "##i", "##jing", "[UNK]"]
    encoding = tokenizer([text, "北京"], return_offsets=True)
    assert encoding["offsets"][0, 3].tolist() == [3, 5]
    assert encoding["offsets"][0, 6].tolist() == [9, 13]
    assert encoding["token_ids"][1, 1] == tokens.index("北京")
    assert tokenizer.rematch(text, tokenizer.tokenize(text))[3] == [3, 4]


def test_translated_tokens(tokens):
    tokenizer = Tokenizer(tokens, token_translate={"我": "[unused1]", "##b": "b"})
    assert tokenizer.tokenize("我ab") == ["[CLS]", "[unused1]", "a", "b", "[SEP]"]
    assert tokenizer.rematch("我ab", tokenizer.tokenize("我ab")) == [[], [0], [1], [2], []]


def test_special_tokens_kept_whole_on_request(tokens):
    tokenizer = Tokenizer(tokens, do_lower_case=True, keep_special_tokens=True)
    text = "我[MASK]Be[mask][SEP]"
    found = tokenizer.tokenize(text)[1:-1]
    assert found[:4] == ["我", "[MASK]", "be", "["]
    assert found[-1] == "[SEP]"
    encoding = tokenizer([text, "我"], return_offsets=True)
    assert encoding["token_ids"][0].tolist() == tokenizer.encode(text)[0]
    assert encoding["offsets"][0, 2].tolist() == [1, 7]
    assert tokenizer(text)["token_ids"].tolist() == tokenizer.encode(text)[0]


def test_rematch_of_special_tokens_in_the_text(tokens):
    tokenizer = Tokenizer(tokens, keep_special_tokens=True)
    found = tokenizer.rematch("我[MASK]爱[SEP]", tokenizer.tokenize("我[MASK]爱[SEP]"))
    assert found == [[], [0], [1, 2, 3, 4, 5, 6], [7], [8, 9, 10, 11, 12], []]
    padded = ["[CLS]", "我", "[MASK]", "[SEP]", "[PAD]", "[PAD]"]
    assert tokenizer.rematch("我[MASK]", padded)[1:] == [[0], [1, 2, 3, 4, 5, 6], [], [], []]


def test_further_tokens_kept_whole(tokens):
    tokenizer = Tokenizer(tokens, keep_special_tokens=["[unused1]"])
    assert tokenizer.tokenize("a[unused1][MASK]") == ["[CLS]", "a", "[unused1]", "[MASK]", "[SEP]"]
    with pytest.raises(ValueError, match="does not hold"):
        Tokenizer(tokens, keep_special_tokens=["[E1]"])


ARGUMENTS = {
    "do_lower_case": True,
    "word_maxlen": 7,
    "token_start": None,
    "token_end": "[MASK]",
    "pre_tokenize": str.split,
    "token_translate": {"a": "b"},
    "token_unk": "[unused1]",
    "token_pad": None,
    "token_mask": "[SEP]",
    "keep_special_tokens": ["[PAD]"],
    "strip_accents": False,
    "tokenize_chinese_chars": False,
    "added_tokens": ["<e1>", "a"],
    "padding_side": "left",
    "model_max_length": 9,
}


def test_config_round_trip_keeps_every_argument(tokens):
    tokenizer = Tokenizer(tokens, **ARGUMENTS)
    assert tokenizer.get_config() == {"token_dict": tokens, **ARGUMENTS}
    again = Tokenizer.from_config(tokenizer.get_config())
    assert again.get_config() == tokenizer.get_config()
    plain = Tokenizer(tokens).get_config()
    assert json.loads(json.dumps(plain)) == plain
    assert all(plain[name] != value for name, value in ARGUMENTS.items())


def test_pickle(tokens):
    tokenizer = Tokenizer(tokens, do_lower_case=True, keep_special_tokens=True)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.get_config() == tokenizer.get_config()
    assert again.encode("我[MASK]Be") == tokenizer.encode("我[MASK]Be")


# The recordings of bert4keras 0.11.5 on the Chinese vocabulary of Google.


@pytest.fixture(scope="module")
def recorded(golden) -> dict:
    return json.loads((golden / "bert4keras/text.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def chinese(golden) -> dict[bool, Tokenizer]:
    path = golden / "google/tokenization/vocab_zh_21128.txt"
    return {lower: Tokenizer(path, do_lower_case=lower) for lower in (True, False)}


def test_recorded_tokenize(recorded, chinese):
    for case in recorded["tokenize"]:
        tokenizer = chinese[case["lower"]]
        assert tokenizer.encode(case["text"])[0] == case["ids"]
        # Ours is [UNK] where bert4keras leaves a word that has no id as it is.
        known = [token if token in tokenizer.token_dict else "[UNK]" for token in case["tokens"]]
        assert tokenizer.tokenize(case["text"]) == known


def test_recorded_rematch(recorded, chinese):
    for case in recorded["rematch"]:
        tokenizer, expected = chinese[case["lower"]], case["mapping"]["ok"]
        if case["lower"] and case["text"] == "İstanbul":  # theirs counts in text.lower(), one off
            assert expected == [[], [0, 2], [3, 4, 5], [6, 7], [8], []]
            expected = [[], [0, 1], [2, 3, 4], [5, 6], [7], []]
        assert tokenizer.rematch(case["text"], case["tokens"]) == expected
        assert tokenizer.rematch(case["text"], tokenizer.tokenize(case["text"])) == expected


def test_recorded_decode(recorded, chinese):
    for case in recorded["decode"]:
        assert chinese[True].decode(case["ids"]) == case["decoded"]["ok"]


def test_recorded_encode(recorded, chinese):
    assert len(recorded["encode"]) == 320
    for case in recorded["encode"]:
        settings = {key: case[key] for key in ("maxlen", "pattern", "truncate_from") if key in case}
        if "exc" in case["result"]:  # an IndexError there, a message here
            with pytest.raises(ValueError, match="cannot truncate"):
                chinese[True].encode(case["a"], case["b"], **settings)
        else:
            found = chinese[True].encode(case["a"], case["b"], **settings)
            assert list(found) == case["result"]["ok"], case


def test_recorded_encode_by_the_batch_call(recorded, chinese):
    cases = [
        case
        for case in recorded["encode"]
        if case.get("pattern") != "S*ES*E" and case["truncate_from"] in ("right", "left")
    ]
    assert len(cases) == 104
    for case in cases:
        first, second = case["a"], case["b"]
        settings = {"max_length": case["maxlen"], "truncate_from": case["truncate_from"]}
        single = chinese[True](first, second, **settings)
        batch = chinese[True]([first], None if second is None else [second], **settings)
        for name, expected in zip(("token_ids", "segment_ids"), case["result"]["ok"]):
            assert single[name].tolist() == expected
            assert batch[name].tolist() == [expected]


def test_recorded_tokenize_with_maxlen(recorded, chinese):
    for case in recorded["tokenize_maxlen"]:
        assert chinese[True].tokenize(case["text"], case["maxlen"]) == case["tokens"]["ok"]


def test_recorded_simplified_vocabulary(recorded, golden):
    path = golden / "google/tokenization/vocab_zh_21128.txt"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary, keep = load_vocab(dict_path=path, simplified=True, startswith=special)
    assert len(vocabulary) == len(keep) == recorded["simplified"]["n"]
    assert keep[:12] == recorded["simplified"]["keep_first"]
    assert list(vocabulary)[:12] == recorded["simplified"]["first"]
    assert "[MASK]" not in vocabulary


def test_recorded_vocabulary_with_a_repeated_line(recorded, golden):
    """bert4keras moves all later ids, so that two tokens share one; ids here are line numbers."""
    with pytest.warns(UserWarning, match="repeats 1"):
        vocabulary = load_vocab(golden / "bert4keras/dupvocab.txt")
    assert vocabulary == {
        **{"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3},
        **{"!": 5, "a": 6, "": 7, "b": 8, "c": 9},
    }
    assert recorded["load_vocab_dup"]["a"] == recorded["load_vocab_dup"]["!"] == 5


def test_recorded_segmenter(recorded, golden):
    path = golden / "google/tokenization/vocab_zh_21128.txt"
    vocabulary = load_vocab(path)
    vocabulary["北京"] = len(vocabulary)
    words = {"我爱北京天安门": ["我", "爱", "北京", "天安门"]}
    tokenizer = Tokenizer(vocabulary, do_lower_case=True, pre_tokenize=words.__getitem__)
    assert tokenizer.tokenize("我爱北京天安门") == recorded["pre_tokenize"]
