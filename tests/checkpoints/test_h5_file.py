"""The reader of HDF5 files: what it reads, and what it refuses."""

from __future__ import annotations

import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert.checkpoints import h5_file
from kerasbert.checkpoints.errors import CheckpointFormatError, CheckpointNotFoundError
from kerasbert.checkpoints.h5_file import H5Tensors, is_h5
from tests.h5_cases import values


@pytest.fixture
def here(monkeypatch):
    """The listing in this process, which takes less time."""
    monkeypatch.setattr(sys, "executable", "")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.h5"


def refused(path, reason: str) -> str:
    """The message of a refusal, which is not one about the bytes of this very test."""
    with pytest.raises(CheckpointFormatError, match=reason) as caught:
        source = H5Tensors(path)
        source.read(list(source.shapes))
    assert str(path) in str(caught.value)
    return str(caught.value)


# ---- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", ">f4", "i1", "u1", "i4", "i8", ">i8", "bool", "bfloat16"]
)
def test_numbers_keep_their_dtype(here, path, dtype):
    stored = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    array = np.arange(6).reshape(2, 3).astype(stored)
    with h5py.File(path, "w") as file:
        file["group/array"] = array
        file["scalar"] = array[0, 1]
        file["empty"] = array[:0]
    source = H5Tensors(path)
    assert source.shapes == {"group/array": (2, 3), "scalar": (), "empty": (0, 3)}
    read = values(source)
    assert read["group/array"].dtype == stored.newbyteorder("=")
    np.testing.assert_array_equal(read["group/array"], array)
    assert read["scalar"] == array[0, 1]
    assert read["empty"].shape == (0, 3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (4, 5)},
        {"chunks": (4, 5), "compression": "gzip"},
        {"chunks": (3, 11), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (7, 2), "shuffle": True},
        {"chunks": (20, 20), "fletcher32": True, "maxshape": (None, None)},
    ],
)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_layouts(here, path, options, libver):
    array = np.random.default_rng(0).standard_normal((10, 11)).astype("f4")
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("a/b", data=array, **options)
    np.testing.assert_array_equal(values(H5Tensors(path))["a/b"], array)


def test_a_compact_dataset(here, path):
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((5,))
        dataset = h5py.h5d.create(file.id, b"c", h5py.h5t.NATIVE_FLOAT, space, properties)
        h5py.Dataset(dataset)[...] = np.arange(5)
    np.testing.assert_array_equal(values(H5Tensors(path))["c"], np.arange(5))


def test_a_block_in_front(here, path):
    array = np.arange(1000, dtype="f4")
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["a"] = array
    assert is_h5(path)
    np.testing.assert_array_equal(values(H5Tensors(path))["a"], array)


def test_a_large_tensor_in_another_process(path):
    array = np.random.default_rng(0).standard_normal((1000, 500)).astype("f4")
    with h5py.File(path, "w") as file:
        file["a"] = array
        file.attrs["layer_names"] = np.array(["x", "y"], dtype=object)
    source = H5Tensors(path)
    with ThreadPoolExecutor(2) as pool:
        for read in pool.map(source.read, [["a"]] * 8):
            np.testing.assert_array_equal(read["a"].numpy(), array)
    assert source.texts == {"": {"layer_names": ("x", "y")}}


def test_texts_that_were_cut(here, path):
    names = [f"layer_{i}" for i in range(30)]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names10"] = np.array([n.encode() for n in names[20:]])
        file.attrs["layer_names9"] = np.array([n.encode() for n in names[10:20]])
        file.attrs["layer_names0"] = np.array([n.encode() for n in names[:10]])
        file.create_group("a").attrs["weight_names"] = np.array([], dtype="S1")
        file.create_group("b").attrs["weight_names"] = h5py.Empty("f4")
        file["b"].attrs["name"] = "Bär"
    texts = H5Tensors(path).texts
    assert texts[""]["layer_names"] == tuple(names)
    assert texts["a"] == {"weight_names": ()}
    assert texts["b"] == {"name": ("Bär",)}


def test_texts_do_not_hinder_reading_numbers(here, path):
    with h5py.File(path, "w") as file:
        file["text"] = "a text"
        file["record"] = np.zeros(3, dtype=[("a", "f4"), ("b", "i4")])
        file["rows"] = np.array([np.arange(2), np.arange(3)], dtype=h5py.vlen_dtype("i4"))
        file["complex"] = np.zeros(2, "c8")
        file["nothing"] = h5py.Empty("f4")
        file["numbers"] = np.arange(3)
    source = H5Tensors(path)
    np.testing.assert_array_equal(source.read(["numbers"])["numbers"].numpy(), np.arange(3))
    for name in ("text", "record", "rows", "complex"):
        with pytest.raises(CheckpointFormatError, match="not plain numbers"):
            source.read([name])


def test_a_cycle_of_groups_counts_once(here, path):
    with h5py.File(path, "w") as file:
        file["a/b/numbers"] = np.arange(3)
        file["a/b/up"] = file["a"]
        file["a/b/top"] = file["/"]
    assert list(H5Tensors(path).shapes) == ["a/b/numbers"]


@pytest.mark.parametrize("offset", [0, 512, 1024, 4096])
def test_the_signature_is_found(tmp_path, offset):
    path = tmp_path / "x"
    path.write_bytes(b"x" * offset + h5_file.SIGNATURE)
    assert is_h5(path)
    path.write_bytes(b"x" * (offset + 8) + h5_file.SIGNATURE)
    assert not is_h5(path)
    assert not is_h5(tmp_path / "absent")
    assert not is_h5(tmp_path)


# ---- shards ------------------------------------------------------------------------------------


def write_shards(folder, first: dict, second: dict) -> None:
    for i, arrays in enumerate((first, second), 1):
        with h5py.File(folder / f"tf_model-0000{i}-of-00002.h5", "w") as file:
            for name, array in arrays.items():
                file[name] = array


def test_shards(here, tmp_path):
    write_shards(tmp_path, {"a/b:0": np.arange(2)}, {"a/c:0": np.arange(3)})
    index = tmp_path / "tf_model.h5.index.json"
    index.write_text('{"weight_map": {"scope/a/b:0": "tf_model-00001-of-00002.h5",'
                     ' "a/c:0": "tf_model-00002-of-00002.h5"}}')  # fmt: skip
    for path in (index, tmp_path / "tf_model-00002-of-00002.h5"):
        source = H5Tensors(path)
        assert source.shapes == {"a/b:0": (2,), "a/c:0": (3,)}
        np.testing.assert_array_equal(values(source)["a/c:0"], np.arange(3))
    index.write_text('{"weight_map": {"scope/a/d:0": "tf_model-00001-of-00002.h5"}}')
    with pytest.raises(CheckpointFormatError, match="not in its shards"):
        H5Tensors(index)
    (tmp_path / "tf_model-00001-of-00002.h5").unlink()
    with pytest.raises(CheckpointNotFoundError, match="tf_model-00001-of-00002"):
        H5Tensors(tmp_path / "tf_model-00002-of-00002.h5")


def test_shards_of_different_models(here, tmp_path):
    write_shards(tmp_path, {"a": np.arange(2)}, {"a": np.arange(3)})
    with pytest.raises(CheckpointFormatError, match="another shard"):
        H5Tensors(tmp_path / "tf_model-00001-of-00002.h5")


# ---- what is refused ---------------------------------------------------------------------------


def test_links_are_not_followed(here, path, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["numbers"] = np.arange(3)
    for link in (h5py.SoftLink("/numbers"), h5py.ExternalLink(str(tmp_path / "secret.h5"), "/")):
        with h5py.File(path, "w") as file:
            file["numbers"] = np.arange(3)
            file["link"] = link
        refused(path, "link to another place")


def test_groups_in_groups_in_groups(here, path):
    with h5py.File(path, "w") as file:
        file["/".join("g" * 300) + "/numbers"] = np.arange(3)
    refused(path, "64 deep")


def test_too_many_objects(here, path, monkeypatch):
    monkeypatch.setattr("kerasbert.checkpoints.h5_listing._MAX_OBJECTS", 5)
    with h5py.File(path, "w") as file:
        for i in range(6):
            file.create_group(str(i))
    refused(path, "more than 5 objects")


def test_numbers_that_lie_elsewhere(here, path, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(12))
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (3,), "f4", external=[(str(tmp_path / "secret"), 0, 12)])
    refused(path, "lie in another file")
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "numbers", (3,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("a", layout)
    refused(path, "lie in other datasets")


def test_ten_terabytes(here, path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (10**6, 2_500_000), "f4")
    refused(path, "claims 10,000,000,000,000 bytes")
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (10**6, 2_500_000), "f4", chunks=(1000, 1000))
    refused(path, "0 of 2500000 chunks")
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (2**19, 2**10), "f4", chunks=(2**19, 2**10), compression="gzip")
        file["a"].id.write_direct_chunk((0, 0), zlib.compress(b"x" * 100))
    refused(path, "unpacked from")


def test_a_chunk_that_unpacks_to_more_than_it_has_room_for(here, path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (100,), "f4", chunks=(100,), compression="gzip")
        file["a"].id.write_direct_chunk((0,), zlib.compress(bytes(10**6)))
    refused(path, "404 bytes instead of 400")
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (100,), "f4", chunks=(100,), compression="gzip")
        file["a"].id.write_direct_chunk((0,), b"no stream")
    refused(path, "is damaged")


def test_another_compression(here, path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.zeros(1000), compression="lzf")
    refused(path, "filter 32000")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>quota exceeded</html>", "web page"),
        (b"\n\n  <html>", "web page"),
        (b"PK\x03\x04 and more", "begins with"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (h5_file.SIGNATURE, "damaged"),
        (h5_file.SIGNATURE + bytes(5000), "damaged"),
        (h5_file.SIGNATURE + b"\xff" * 5000, "damaged"),
    ],
)
def test_no_hdf5(here, path, content, reason):
    path.write_bytes(content)
    refused(path, reason)


def test_no_file(path, tmp_path):
    with pytest.raises(CheckpointNotFoundError):
        H5Tensors(path)
    with pytest.raises(CheckpointNotFoundError):
        H5Tensors(tmp_path)


def test_truncated(here, path):
    with h5py.File(path, "w") as file:
        for i in range(20):
            file[f"group/{i}"] = np.arange(100.0)
    whole = path.read_bytes()
    for part in (0.01, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(part * len(whole))])
        refused(path, "damaged|not an HDF5")


def test_a_file_that_changes(here, path):
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(1000)
    source = H5Tensors(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(CheckpointFormatError, match="the end of 'a' is missing"):
        source.read(["a"])


@pytest.mark.parametrize(
    ("command", "reason"),
    [("while True: pass", "no end"), ("import os; os.abort()", "crashed"), ("0", "damaged")],
)
def test_a_library_that_hangs_or_crashes(path, monkeypatch, command, reason):
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(3)
    monkeypatch.setattr(h5_file, "_COMMAND", command)
    monkeypatch.setattr(h5_file, "_SECONDS", 1 if "while" in command else 20)
    monkeypatch.setattr(h5_file, "_WAITING", 1 if "while" in command else 6)
    refused(path, reason)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> list[bytes]:
    """Two small files as Keras 2 and Keras 3 write them."""
    contents = []
    for names, libver in (("bytes", "earliest"), (object, "latest")):
        path = tmp_path_factory.mktemp("h5") / "model.h5"
        with h5py.File(path, "w", libver=libver) as file:
            listed = [b"dense"] if names == "bytes" else np.array(["dense"], dtype=object)
            file.attrs["layer_names"] = listed
            group = file.create_group("dense")
            group.attrs["weight_names"] = listed
            group["dense"] = np.arange(12.0).reshape(3, 4)
            file.create_dataset("packed", data=np.arange(100), compression="gzip", shuffle=True)
        contents.append(path.read_bytes())
    return contents


def damage(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    data = bytearray(content)
    for where, _, what in changes:
        at = where % len(data)
        data[at : at + len(what)] = what
    return bytes(data)


CHANGES = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(0, 1), st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@given(data=st.data(), changes=CHANGES)
@settings(max_examples=15)
def test_damaged_bytes(tmp_path_factory, written, data, changes):
    content = damage(data.draw(st.sampled_from(written)), changes)
    path = tmp_path_factory.getbasetemp() / "damaged.h5"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(h5_file, "_SECONDS", 3)
        try:
            source = H5Tensors(path)
            read = values(source)
        except CheckpointFormatError:
            return
    assert {name: value.shape for name, value in read.items()} == source.shapes


@given(
    shape=st.lists(st.integers(0, 9), max_size=3),
    dtype=st.sampled_from(["<f4", ">f8", "|b1", "bfloat16", None]),
    offset=st.one_of(st.none(), st.integers(-5, 600)),
    chunk=st.lists(st.integers(1, 9), max_size=3),
    chunks=st.lists(
        st.tuples(
            st.lists(st.integers(0, 9), max_size=3), st.integers(-2, 600), st.integers(0, 99)
        ),
        max_size=3,
    ),
    filters=st.lists(st.integers(0, 4), max_size=3),
)
def test_lying_listings(tmp_path_factory, shape, dtype, offset, chunk, chunks, filters):
    path = tmp_path_factory.getbasetemp() / "lying.h5"
    path.write_bytes(h5_file.SIGNATURE + bytes(range(256)) * 2)
    for places in (
        {"offset": offset},
        {"chunk_shape": chunk, "chunks": chunks, "filters": filters},
    ):
        listing = {"datasets": {"a": {"shape": shape, "dtype": dtype, **places}}, "texts": {}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(h5_file, "_listing", lambda path, listing=listing: listing)
            try:
                read = H5Tensors(path).read(["a"])
            except CheckpointFormatError:
                continue
        assert tuple(read["a"].shape) == tuple(shape)
