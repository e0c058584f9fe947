"""Windows, batches, the growing file and the thread that works ahead."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.embedding.npy_file import NpyWriter
from kerasbert.embedding.prefetch import prefetch
from kerasbert.embedding.windows import cut, pad, read_windows

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=80).map(np.array)


@given(lengths, st.integers(1, 200))
def test_batches_hold_every_text_once_and_few_tokens(lengths, tokens):
    batches = cut(lengths, None, tokens)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    firsts = []
    for batch in batches:
        longest = lengths[batch].max()
        assert longest == lengths[batch[0]]
        assert len(batch) == 1 or len(batch) * longest <= tokens
        firsts.append(longest)
    assert firsts == sorted(firsts, reverse=True)


@given(lengths, st.integers(1, 20))
def test_a_given_batch_size_is_kept(lengths, batch_size):
    sizes = [len(batch) for batch in cut(lengths, batch_size, 1)]
    assert sum(sizes) == len(lengths)
    assert all(size == batch_size for size in sizes[:-1]) and 0 < sizes[-1] <= batch_size


def test_many_texts_leave_hardly_any_padding():
    lengths = np.random.default_rng(0).integers(4, 40, 10_000)
    computed = sum(len(batch) * lengths[batch[0]] for batch in cut(lengths, None, 2048))
    assert computed / lengths.sum() < 1.02


@pytest.mark.parametrize(
    "on_left, rows", [(False, [[1, 2, 9], [3, 9, 9]]), (True, [[9, 1, 2], [9, 9, 3]])]
)
def test_padding(on_left, rows):
    given_rows = [np.array([1, 2]), np.array([3])]
    assert pad(given_rows, 3, 9, on_left).tolist() == rows


def test_windows_by_texts_and_by_characters():
    texts = ["aaa", "bb", "c", "dddd", "e"]
    assert list(read_windows(texts, 2)) == [["aaa", "bb"], ["c", "dddd"], ["e"]]
    assert list(read_windows(iter(texts), 9, 4)) == [["aaa", "bb"], ["c", "dddd"], ["e"]]
    assert list(read_windows([])) == []


# The file.


def test_rows_are_appended(tmp_path):
    with NpyWriter(tmp_path / "a.npy", 3) as file:
        assert not (tmp_path / "a.npy").exists()
        for count in (2, 0, 5):
            file.write(np.full((count, 3), count))
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.float32 and found[:, 0].tolist() == [2, 2, 5, 5, 5, 5, 5]
    assert (tmp_path / "a.npy").stat().st_mode & 0o777 == 0o644


def test_rows_of_another_width_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"rows must be \(any number, 3\)"):
        with NpyWriter(tmp_path / "a.npy", 3) as file:
            file.write(np.zeros((2, 3)))
            file.write(np.zeros((2, 4)))
    assert list(tmp_path.iterdir()) == []


def test_billions_of_rows_fit_the_header(tmp_path):
    with NpyWriter(tmp_path / "a.npy", 3) as file:
        size = file._header_size
        file._file.seek(0)
        file.rows = 10**15
        assert file._write_header() == size
        file.rows = 0


# The thread.


def test_items_come_in_order_from_another_thread():
    def work():
        for number in range(50):
            yield number, threading.get_ident()

    found = list(prefetch(work(), size=3))
    assert [number for number, _ in found] == list(range(50))
    assert {ident for _, ident in found} & {threading.get_ident()} == set()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_come_where_the_item_would(error):
    def work():
        yield 1
        raise error("broken")

    items = prefetch(work())
    assert next(items) == 1
    with pytest.raises(error, match="broken"):
        next(items)


def test_stopping_early_ends_the_thread():
    made = []

    def work():
        for number in range(10**9):
            made.append(number)
            yield number

    before = threading.active_count()
    items = prefetch(work())
    next(items)
    items.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before and len(made) < 10
