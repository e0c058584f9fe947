"""Chunks to documents: what counts as one, and that bad text is counted and survived."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretraining import documents
from pretraining.documents import SeenDigests, digests, read_documents, read_groups


def read(content, kind="text", **options):
    counts: Counter = Counter()
    content = content if isinstance(content, bytes) else content.encode("utf-8")
    return list(read_documents([(kind, content)], counts, **options)), counts


def test_empty_lines_divide_documents():
    found, counts = read("\n\n甲\n 乙 \n \t\n\n丙\n")
    assert found == [["甲", "乙"], ["丙"]]
    assert not +counts


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_of_all_systems(end):
    assert read(f"甲{end}乙{end}{end}丙")[0] == [["甲", "乙"], ["丙"]]


def test_every_line_can_be_a_document():
    assert read("甲\n乙\n\n丙", every_line=True)[0] == [["甲"], ["乙"], ["丙"]]
    assert read('{"text": "甲\\n乙"}', "json", every_line=True)[0] == [["甲"], ["乙"]]


def test_a_byte_order_mark_is_no_text():
    assert read(b"\xef\xbb\xbf" + "甲".encode())[0] == [["甲"]]


def test_json_lines_hold_a_text_or_lines():
    content = '{"text": "甲\\n\\n乙", "id": 3}\n\n{"text": ["丙", "丁\\n戊"]}\n'
    assert read(content, "json")[0] == [["甲", "乙"], ["丙", "丁", "戊"]]
    assert read('{"body": "甲"}', "json", text_field="body")[0] == [["甲"]]


def test_bad_bytes_and_nuls_are_left_out_and_counted():
    found, counts = read(b"a\xff\xfeb\0c\n\xe5\xa4")
    assert found == [["abc"]]
    assert counts == {"bad_bytes": 4, "nul_characters": 1}


def test_what_json_escapes_smuggle_in_is_counted_too():
    found, counts = read('{"text": "a\\ud800b\\u0000c\\ud83d\\ude00"}', "json")
    assert found == [["abc\U0001f600"]]
    assert counts == {"bad_bytes": 1, "nul_characters": 1}


def test_broken_lines_and_missing_fields_are_counted():
    rows = ["{", '{"text": 5}', '{"other": "a"}', "[1]", '"text"', '{"text": [1]}', '{"text": " "}']
    rows += ['{"text": null}', "[" * 100_000, '{"text": "甲"}']
    found, counts = read("\n".join(rows), "json")
    assert found == [["甲"]]
    assert counts == {"broken_lines": 2, "missing_fields": 6, "empty_documents": 1}


def test_very_long_lines_are_cut(monkeypatch):
    monkeypatch.setattr(documents, "_LONGEST_LINE", 4)
    assert read("天地玄黄宇宙    洪荒\n日")[0] == [["天地玄黄", "宇宙", "洪荒", "日"]]
    assert read('{"text": "abcdefg"}', "json")[0] == [["abcd", "efg"]]


@given(st.binary(max_size=300), st.sampled_from(["text", "json"]))
def test_any_bytes_are_survived(content, kind):
    for function in (read_documents, read_groups):
        for document in function([(kind, content)], Counter()):
            assert document and all(line == line.strip() and line for line in document)
            "".join(document).encode("utf-8")
            assert "\0" not in "".join(document)


@given(st.lists(st.lists(st.text("ab天 ，", min_size=1), min_size=1)))
def test_json_and_text_hold_the_same_documents(given):
    given = [[line.strip() for line in lines if line.strip()] for lines in given]
    given = [lines for lines in given if lines]
    text = "\n\n".join("\n".join(lines) for lines in given)
    rows = "\n".join(json.dumps({"text": lines}) for lines in given)
    assert read(text)[0] == read(rows, "json")[0] == given


def groups(content, kind="text"):
    counts: Counter = Counter()
    return list(read_groups([(kind, content.encode())], counts)), counts


def test_groups_are_divided_by_tabs():
    found, counts = groups("甲\t乙\t甲\n\n丙\n丁\t 戊\n己\t己\n")
    assert found == [["甲", "乙"], ["丁", "戊"]]
    assert counts == {"small_groups": 2}


def test_groups_of_json_lines_in_both_forms():
    rows = [
        {"texts": ["甲", "乙\n乙", ""]},
        {"text": "丙", "synonyms": ["丁", "戊"]},
        {"text": "己"},
        {"texts": "庚"},
        {"texts": [1, 2]},
        {"texts": ["辛"]},
    ]
    found, counts = groups("\n".join(map(json.dumps, rows)), "json")
    assert found == [["甲", "乙 乙"], ["丙", "丁", "戊"]]
    assert counts == {"missing_fields": 3, "small_groups": 1}


def test_digests_look_past_white_space_only():
    first, second, third = digests([["甲 乙", "丙"], ["甲", "乙丙"], ["甲", "丙乙"]])
    assert first == second != third


@given(st.lists(st.lists(st.integers(0, 50), max_size=20), max_size=20))
def test_only_the_first_of_equal_digests_is_new(batches):
    seen, known = SeenDigests(), set()
    for batch in batches:
        expected = []
        for value in batch:
            expected.append(value not in known)
            known.add(value)
        assert seen.add(np.array(batch, np.uint64)).tolist() == expected


def test_digests_take_eight_bytes_each():
    seen = SeenDigests()
    rng = np.random.RandomState(0)
    for _ in range(200):
        seen.add(rng.randint(0, 2**63, 500).astype(np.uint64))
    assert sum(run.nbytes for run in seen._runs) == 8 * 100_000
    assert len(seen._runs) < 20
