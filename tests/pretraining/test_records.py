"""The format of a prepared corpus: records are tf.train.Example, manifests are checked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.backend import tf
from pretraining.records import FORMAT, MANIFEST, Corpus, TokenStream, encode_varints, parse

CLS, SEP, PAD = 101, 102, 0


def _record(ids, starts, slices, **options):
    stream = TokenStream(np.array(ids, np.int64), np.array(starts, bool), CLS, SEP)
    return stream.record(slices, **options)


def _features(record):
    features = tf.train.Example.FromString(record).features.feature
    return {name: list(value.int64_list.value) for name, value in features.items()}


@given(st.lists(st.integers(0, 2**31 - 1)), st.integers(0, 2**31 - 1))
def test_a_record_is_what_tensorflow_itself_writes(ids, label):
    starts = [value % 2 for value in ids]
    whole = [CLS, *ids, SEP]

    def feature(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    expected = tf.train.Example(
        features=tf.train.Features(
            feature={
                "token_ids": feature(whole),
                "word_starts": feature([1, *starts, 1]),
                "first_length": feature([len(whole)]),
                "label": feature([label]),
            }
        )
    )
    record = _record(ids, starts, [(0, len(ids))], label=label)
    assert record == expected.SerializeToString(deterministic=True)


def test_slices_become_segments_in_the_order_given():
    ids, starts = [7, 300, 20000, 3, 3_000_000], [1, 0, 1, 0, 1]
    found = _features(_record(ids, starts, [(3, 5), (0, 2)], first_length=4, label=1))
    assert found == {
        "token_ids": [CLS, 3, 3_000_000, SEP, 7, 300, SEP],
        "word_starts": [1, 0, 1, 1, 1, 0, 1],
        "first_length": [4],
        "label": [1],
    }


def test_no_values_are_no_bytes():
    found, splits = encode_varints(np.zeros(0, np.int64))
    assert found == b"" and splits.tolist() == [0]


def test_parsing_pads_and_keeps_static_shapes():
    records = [
        _record([5, 6, 7], [1, 0, 1], [(0, 3)]),
        _record([5, 6, 7], [1, 0, 1], [(0, 1), (2, 3)], first_length=3, label=1),
    ]
    dataset = tf.data.Dataset.from_tensor_slices(records).batch(2, drop_remainder=True)
    dataset = dataset.map(lambda batch: parse(batch, 8, 9))
    assert {name: spec.shape.as_list() for name, spec in dataset.element_spec.items()} == {
        "token_ids": [2, 8],
        "word_starts": [2, 8],
        "first_length": [2],
        "length": [2],
        "label": [2],
    }
    (batch,) = dataset
    assert batch["token_ids"].numpy().tolist() == [
        [CLS, 5, 6, 7, SEP, 9, 9, 9],
        [CLS, 5, SEP, 7, SEP, 9, 9, 9],
    ]
    assert batch["word_starts"].numpy().astype(int).tolist() == [
        [1, 1, 0, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0],
    ]
    assert batch["word_starts"].dtype == tf.bool
    assert [batch[name].numpy().tolist() for name in ("first_length", "length", "label")] == [
        [5, 3],
        [5, 5],
        [0, 1],
    ]
    assert {batch[name].dtype for name in batch if name != "word_starts"} == {tf.int32}


def test_a_record_longer_than_asked_is_an_error_not_a_cut_one():
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse(tf.constant([_record([1, 2, 3], [1, 1, 1], [(0, 3)])]), 4, 0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.tfrecord.gz").write_bytes(b"12345")
    manifest = {
        "format": FORMAT,
        "style": "roberta",
        "max_length": 16,
        "examples": 3,
        "tokens": 40,
        "vocab_size": 200,
        "special_ids": {"pad": 0, "unk": 100, "cls": 101, "sep": 102, "mask": 103},
        "shards": [{"file": "a.tfrecord.gz", "examples": 3, "bytes": 5, "sha256": ""}],
    }
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    return tmp_path


def _change(folder, **changes):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **changes}))


def test_a_manifest_opens(folder):
    corpus = Corpus.open(folder)
    assert corpus.shards == [(folder / "a.tfrecord.gz", 3)]
    assert (corpus.style, corpus.max_length, corpus.examples, corpus.tokens) == (
        "roberta",
        16,
        3,
        40,
    )
    assert corpus.special_ids["mask"] == 103 and corpus.vocab_size == 200


def test_an_unfinished_corpus_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="same command again"):
        Corpus.open(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"format": 99}, {"style": "gpt"}, {"examples": 4}, {"shards": [{}]}, {"special_ids": 5}],
)
def test_a_manifest_that_does_not_fit_is_refused(folder, changes):
    _change(folder, **changes)
    with pytest.raises(ValueError, match="not the manifest of a corpus that this version reads"):
        Corpus.open(folder)


def test_a_damaged_manifest_is_refused(folder):
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ValueError, match="prepare the corpus anew"):
        Corpus.open(folder)


def test_a_missing_shard_and_a_short_one_are_found(folder):
    (folder / "a.tfrecord.gz").write_bytes(b"1234")
    with pytest.raises(ValueError, match=r"has 4 bytes.*says 5"):
        Corpus.open(folder)
    (folder / "a.tfrecord.gz").unlink()
    with pytest.raises(FileNotFoundError, match="copy it again"):
        Corpus.open(folder)
