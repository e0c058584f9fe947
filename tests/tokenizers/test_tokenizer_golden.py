"""Equal to the original code on every recorded line: Google's FullTokenizer, and HF's offsets."""

from __future__ import annotations

import gzip
import json
import unicodedata

import pytest

from kerasbert.tokenizers import Tokenizer

GOOGLE = [
    ("bert_zh21128_lower", "vocab_zh_21128.txt", True),
    ("bert_zh21128_cased", "vocab_zh_21128.txt", False),
    ("bert_en30522_lower", "vocab_en_uncased_30522.txt", True),
    ("bert_en30522_cased", "vocab_en_uncased_30522.txt", False),
]


def read(path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(params=GOOGLE, ids=[name for name, *_ in GOOGLE], scope="module")
def google(request, golden):
    name, vocabulary, lower = request.param
    folder = golden / "google/tokenization"
    return Tokenizer(folder / vocabulary, do_lower_case=lower), read(folder / f"{name}.jsonl.gz")


def test_text_by_text(google):
    tokenizer, cases = google
    assert len(cases) == 3658
    for case in cases:
        assert tokenizer.tokenize(case["text"])[1:-1] == case["tokens"], case["text"]
        assert tokenizer.encode(case["text"])[0][1:-1] == case["ids"], case["text"]


def test_as_one_batch(google):
    tokenizer, cases = google
    texts = [case["text"] for case in cases]
    for with_offsets in (False, True):
        found = tokenizer(texts, return_offsets=with_offsets, padding=False)["token_ids"]
        for case, ids in zip(cases, found):
            assert ids[1:-1].tolist() == case["ids"], case["text"]


def test_as_a_layer(google):
    pytest.importorskip("tensorflow_text")
    from kerasbert.backend import tf

    tokenizer, cases = google
    found = tokenizer.as_layer()(tf.constant([case["text"] for case in cases]))[0].numpy()
    for case, ids in zip(cases, found):
        assert ids[1 : 1 + len(case["ids"])].tolist() == case["ids"], case["text"]
        assert not ids[2 + len(case["ids"]) :].any()


HUGGINGFACE = ["bert_zh", "bert_en", "bert_cased"]


@pytest.fixture(params=HUGGINGFACE, scope="module")
def huggingface(request, golden):
    folder = golden / "huggingface/tokenizers" / request.param
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer(folder / "vocab.txt", do_lower_case=config["do_lower_case"])
    return tokenizer, read(folder / "cases.jsonl.gz"), read(folder / "pairs.jsonl.gz")


def test_ids_and_offsets_of_huggingface(huggingface):
    tokenizer, cases, _ = huggingface
    cases = [case for case in cases if case["agree"] or "ids_google" in case]
    assert len(cases) > 2000
    found = tokenizer([case["text"] for case in cases], padding=False, return_offsets=True)
    other_ids = other_spans = 0
    for at, case in enumerate(cases):
        spans = found["offsets"][at].tolist()
        if found["token_ids"][at].tolist() != case.get("ids_google", case["ids"]):
            other_ids += 1
        elif case["agree"] and spans != case["offsets"]:
            # Theirs counts marks and format characters at either end into an unknown word.
            other_spans += 1
            for ours, theirs, token in zip(spans, case["offsets"], case["tokens"]):
                assert ours == theirs or (
                    token == "[UNK]" and theirs[0] <= ours[0] and ours[1] <= theirs[1]
                )
    assert other_spans <= 5
    # Recorded with Unicode 14. Of the random characters, version 13 (Python 3.9) lacks four marks
    # and punctuation signs that make a difference; 15.1 (Python 3.13) has one more.
    assert other_ids <= {"14.0.0": 0}.get(unicodedata.unidata_version, 5)


def test_kept_special_tokens_of_huggingface(golden):
    folder = golden / "huggingface/tokenizers/bert_zh"
    tokenizer = Tokenizer(folder / "vocab.txt", do_lower_case=True, keep_special_tokens=True)
    cases = [case for case in read(folder / "cases.jsonl.gz") if case.get("special_in_text")]
    assert len(cases) > 10
    for case in cases:
        assert tokenizer.encode(case["text"])[0] == case["ids"], case["text"]


def test_pairs_of_huggingface(huggingface):
    """Equal, but for one token where both texts were cut: which one loses the odd token."""
    tokenizer, texts, cases = huggingface
    agreed = {case["text"] for case in texts if case["agree"]}
    cases = [case for case in cases if {case["text"], case["text_pair"]} <= agreed]
    assert len(cases) > 200
    firsts, seconds = zip(*((case["text"], case["text_pair"]) for case in cases))
    found = tokenizer(firsts, seconds, max_length=48, padding=False)
    ties = 0
    for case, ids, segments in zip(cases, found["token_ids"], found["segment_ids"]):
        if ids.tolist() == case["ids"]:
            assert segments.tolist() == case["type_ids"]
        else:  # bert4keras: of equally long texts the first one loses a token
            ties += 1
            assert len(ids) == len(case["ids"]) == 48
            assert (segments.sum(), sum(case["type_ids"])) == (24, 23)
    assert ties < len(cases) / 4
