"""Reading requests: whatever arrives is read, or refused with a status of 4xx."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette")

from kerasbert.serving.app import JSONResponse
from kerasbert.serving.errors import RequestError
from kerasbert.serving.fields import Fields, parse_object
from kerasbert.serving.limits import Limits
from kerasbert.serving.options import generation_options

LIMITS = Limits(max_texts=3, max_characters=10, max_new_tokens=9, max_beams=3)
NAMES = [
    "texts", "queries", "stream", "max_new_tokens", "min_new_tokens", "num_beams", "do_sample",
    "top_k", "top_p", "temperature", "length_penalty", "repetition_penalty", "no_repeat_ngram",
    "num_return_sequences", "seed",
]  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["a", "\ud800", "\0", 0, 1, 2, 10**40, -1e300]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def read(body: bytes):
    """All that is read of a request; None where it is refused, in words that can be sent."""
    try:
        fields = Fields(parse_object(body), LIMITS)
        return fields.texts("texts"), generation_options(fields, LIMITS)
    except RequestError as error:
        assert 400 <= error.status < 500
        sent = JSONResponse(error.content()).body
        assert json.loads(sent)["error"]["message"]
        assert len(sent) < 2000
        return None


@given(st.binary(max_size=200))
def test_any_bytes(body):
    read(body)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), ANY, max_size=6), ANY)
def test_any_json(content, texts):
    found = read(json.dumps({"texts": texts, **content}).encode())
    if found is not None:
        texts, options = found
        assert 1 <= len(texts) <= 3 and all(len(text.encode()) <= 40 for text in texts)
        assert 1 <= options["max_new_tokens"] <= 9
        assert options.get("num_beams", 1) <= 3


@given(st.dictionaries(st.sampled_from(NAMES[3:]), st.integers(-1, 10) | st.booleans()))
def test_small_numbers(options):
    found = read(json.dumps({"texts": "a", **options}).encode())
    if found is not None:
        for name, value in found[1].items():
            assert name == "max_new_tokens" or value == options[name]


def test_defaults():
    assert read(b'{"texts": "a"}') == (["a"], {"max_new_tokens": 9})
    assert read(b'{"texts": ["a"], "top_k": null}') == (["a"], {"max_new_tokens": 9})


def test_names_that_cannot_be_written():
    assert read(b'{"\\ud800": 1}') is None
    assert read(b'{"texts": "a", "\\ud800": 1}') is None
    assert read(json.dumps({"x" * 5000: 1, "texts": "a"}).encode()) is None
    assert read(json.dumps({"x" * 5000 + str(i): 1 for i in range(100)}).encode()) is None
