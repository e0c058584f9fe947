"""Paddle's files: every layout that is published, and nothing that is broken or hostile."""

from __future__ import annotations

import json
import pickle
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert.backend import tf
from kerasbert.checkpoints import stored_arrays
from kerasbert.checkpoints.errors import CheckpointFormatError, CheckpointNotFoundError
from kerasbert.checkpoints.paddle_file import PaddleCheckpoint, is_paddle
from kerasbert.checkpoints.torch_file import is_torch
from tests.pickles import Built, Call, Global, code, pickled
from tests.reading import Reading

GOLDEN = "golden/huggingface"
ARRAYS = {
    "linear.weight": np.linspace(-1, 1, 600, dtype="float32").reshape(20, 30),
    "linear.bias": np.array([1.5, -2, 0], "float32"),
    "ids": np.arange(5)[None],
    "half": np.arange(3, dtype="float16"),
    "mask": np.array([True, False]),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "large fortran": np.asfortranarray(np.arange(600.0).reshape(20, 30)),
    "scalar": np.array(2.5, "float32"),
    "empty": np.zeros((0, 3), "float32"),
}
TABLE = "StructuredToParameterName@@"
PARTS = "UnpackBigParamInfor@@"


def save(path: Path, value, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model_state.pdparams"


_READING = Reading(PaddleCheckpoint, ARRAYS)
read, check, refused = _READING.read, _READING.check, _READING.refused


# ----------------------------------------------------------------------------- formats


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_values_are_read_as_they_are_stored(path, protocol):
    names = {name: f"{name}_0" for name in ARRAYS}
    check(save(path, {**ARRAYS, TABLE: names, "LR_Scheduler": {"last_epoch": 1}}, protocol))
    assert repr(PaddleCheckpoint(path)).endswith("9 tensors)")
    assert is_paddle(path) and not is_torch(path)
    assert is_paddle(path.rename(path.with_suffix(".bin")))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_names_of_both_numpy_versions(path, protocol, core):
    save(path, ARRAYS, protocol)
    data = path.read_bytes()
    ours = b"numpy._core" if b"numpy._core" in data else b"numpy.core"
    if protocol == 4:  # of which the length stands before it
        for each in (ours, core):
            full = each + b".multiarray"
            each_length = bytes([len(full)])
            if each is ours:
                old = each_length + full
            else:
                new = each_length + full
        if core != ours:
            data = data.replace(old, new)
    else:
        data = data.replace(ours + b".", core + b".")
    path.write_bytes(data)
    check(path)


@pytest.mark.parametrize(
    "dtype", ["float64", "int8", "uint8", "int16", "int32", "uint32", "uint64"]
)
def test_dtypes(path, dtype):
    arrays = {"x": np.arange(4).astype(dtype)}
    check(save(path, arrays), arrays)


@pytest.mark.parametrize("protocol", [2, 4])
def test_bfloat16(path, protocol):
    """Paddle stores its bits."""
    value = np.arange(2000, dtype="float32").astype(tf.bfloat16.as_numpy_dtype)
    check(save(path, {"x": value.view("uint16")}, protocol), {"x": value})


def test_pairs_of_name_and_array(path):
    """As Paddle 2.0 stored parameters, and as it still stores those in other structures."""
    arrays = {"a": ARRAYS["linear.bias"], "b": ARRAYS["linear.weight"]}
    check(save(path, {key: (f"{key}_0", value) for key, value in arrays.items()}), arrays)
    data = b"\x80\x02}("
    for name, value in arrays.items():
        pair = code(f"{name}_0") + pickle.dumps(value, 2)[2:-1] + b"\x86\x85"
        data += code(name) + code(Global("__builtin__", "tuple")) + pair + b"R"
    path.write_bytes(data + b"u.")
    check(path, arrays)


def test_tensors_of_static_graphs(path):
    """Stored as a call of `eval` that returns its argument; nothing is evaluated."""
    value = ARRAYS["linear.weight"]
    values = b"}" + code("data") + pickle.dumps(value, 2)[2:-1] + b"s"
    call = code(Global("__builtin__", "eval")) + code("data") + values + b"\x86R"
    path.write_bytes(b"\x80\x02}" + code("x") + call + b"s.")
    check(path, {"x": value})


def split(arrays, largest: int) -> dict:
    """What Paddle does in protocol 2 with arrays of more than 1 GB."""
    found, parts = {}, {}
    for name, value in arrays.items():
        if value.size <= largest:
            found[name] = value
            continue
        flat = value.flatten()
        pieces = [flat[i : i + largest] for i in range(0, value.size, largest)]
        names = [f"{name}@@.{i}" for i in range(len(pieces))]
        parts[name] = {"OriginShape": value.shape, "slices": names}
        found.update(zip(names, pieces))
    return {**found, PARTS: parts}


@pytest.mark.parametrize("largest", [7, 299, 300])
@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_in_parts(path, protocol, largest):
    found = read(save(path, split(ARRAYS, largest), protocol))
    assert found.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("chunk", [1, 7, 100, 10_000])
def test_large_arrays_are_read_in_parts(path, monkeypatch, protocol, chunk):
    monkeypatch.setattr(stored_arrays, "_CHUNK", chunk)
    arrays = {"x": ARRAYS["linear.weight"]}
    check(save(path, arrays, protocol), arrays)


@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_stay_in_the_file(path, protocol):
    value = np.full(1_000_000, 1.5, "float32")
    save(path, {"x": value}, protocol)
    tracemalloc.start()
    try:
        PaddleCheckpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    check(path, {"x": value})


# ----------------------------------------------------------------------------- broken


def test_attacks(path):
    class Attack:
        def __reduce__(self):
            return path.with_name("made").mkdir, ()

    for protocol in (2, 4):
        for value in (Attack(), {"a": Attack()}, {**ARRAYS, "x": [Attack()]}):
            refused(save(path, value, protocol), "Nothing of it was run")
    assert not path.with_name("made").exists()


RECONSTRUCT = Call(
    Global("numpy.core.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), b"b")
)
FLOATS = Built(Call(Global("numpy", "dtype"), ("f4", False, True)), (3, "<", None))


def array(shape=(2,), dtype=FLOATS, fortran=False, data=bytes(8)) -> Built:
    return Built(RECONSTRUCT, (1, shape, dtype, fortran, data))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (array((3,)), "8 bytes are stored, its shape .3,. says 12"),
        (array((1,)), "8 bytes are stored, its shape .1,. says 4"),
        (array((2**40,)), "8 bytes are stored"),
        (array((2**47, 2**47)), "8 bytes are stored"),
        (array((2**2000,)), "its shape is none"),
        (array((-2,)), "its shape is none"),
        (array((-2, -1)), "its shape is none"),
        (array([2]), "its shape is none"),
        (array((2.0,)), "its shape is none"),
        (array((1,) * 33), "its shape is none"),
        (array(None), "its shape is none"),
        (array((0, 2**60)), "its shape is none"),
        (array(data=5), "not described as NumPy does"),
        (array(data=[1, 2]), "not described as NumPy does"),
        (array(dtype=5), "not described as NumPy does"),
        (array(dtype=Global("numpy", "float32")), "not described as NumPy does"),
        (array(data="\u4e2d" * 8), "latin-1"),
        (array((600,), data="\u4e2d" * 2400), "bytes are stored|latin-1"),
        (array((601,), data="é" * 2400), "bytes are stored"),
        (array((1000,), data="é" * 2400), "bytes are stored"),
        (RECONSTRUCT, "holds no tensors by name"),
        (Built(RECONSTRUCT, (1, 2)), "not enough values"),
        (Built(RECONSTRUCT, 5), "cannot unpack"),
        (1, "holds no tensors by name"),
        ("text", "holds no tensors by name"),
    ],
)
def test_arrays_that_are_none(path, value, message):
    path.write_bytes(pickled({"x": value}))
    refused(path, message)
    if isinstance(value, Built) and "damaged" in message:
        refused(path, "'x'")


class Keeping:
    """As NumPy stores an array whose axes have changed places, in protocol 5."""

    def __reduce__(self):
        modules = ("numpy._core.numeric", "numpy.core.numeric")
        function = next(sys.modules[name]._frombuffer for name in modules if name in sys.modules)
        return function, (bytes(8), np.dtype("f4"), (2, 1, 1), "K", (1, 0, 2))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"x": np.array([{}])}, "holds Python objects"),
        ({"x": np.arange(3, dtype=">i4")}, "big-endian"),
        ({"x": np.array(["a"]), "y": np.array([b"a"])}, "but a dict with 'x', 'y'"),
        ({"x": np.array([1j])}, "but a dict with 'x'"),
        ({"x": Keeping()}, "in an order that is not read"),
        (ARRAYS["linear.bias"], "pdparams holds no tensors by name, but a tensor without a name"),
    ],
)
def test_values_that_are_not_read(path, value, message):
    refused(save(path, value, 4), message)


@pytest.mark.parametrize(
    "parts",
    [
        *(5, [1], {"x": 5}, {"x": {}}, {"x": {"slices": ["ids", "none"], "OriginShape": (1,)}}),
        {"x": {"slices": ["ids"], "OriginShape": (5,)}},  # a matrix
        {"x": {"slices": ["half", "linear.bias"], "OriginShape": (6,)}},  # of two types
        {"x": {"slices": ["half", "half"], "OriginShape": (6,)}},
        {"x": {"slices": ["half"], "OriginShape": (4,)}},
        {"x": {"slices": ["half"], "OriginShape": 3}},
        {"x": {"slices": [], "OriginShape": (0,)}},
        {"x": {"slices": 5, "OriginShape": (0,)}},
    ],
)
def test_parts_that_do_not_fit(path, parts):
    refused(save(path, {**ARRAYS, PARTS: parts}), "damaged")


def test_truncated_files(path):
    for protocol in (2, 4):
        data = save(path, ARRAYS, protocol).read_bytes()
        for size in (1, 20, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:size])
            refused(path, "cannot be read as a file of weights")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no file of `paddle.save`"),
        (b"<html>", "is no file of `paddle.save`"),
        (b"\0" * 50, "is no file of `paddle.save`"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_files_of_other_kinds(path, content, message):
    path.write_bytes(content)
    refused(path, message)
    assert not is_paddle(path)


def test_what_is_no_file(tmp_path):
    assert not is_paddle(tmp_path)
    assert not is_paddle(tmp_path / "nothing")
    assert not is_paddle(save(tmp_path / "vocab.pkl", {"a": 1}))


def test_shards(tmp_path):
    names = [f"model_state-0000{i}-of-00002.pdparams" for i in (1, 2)]
    listed = {name: names[i % 2] for i, name in enumerate(ARRAYS)}
    for shard in names:
        save(tmp_path / shard, {k: v for k, v in ARRAYS.items() if listed[k] == shard})
    index = tmp_path / "model_state.pdparams.index.json"
    index.write_text(json.dumps({"weight_map": listed}))
    for path in (index, tmp_path / names[1]):
        assert read(path).keys() == ARRAYS.keys()
    (tmp_path / names[1]).unlink()
    with pytest.raises(CheckpointNotFoundError, match="1 of the 2 shards"):
        PaddleCheckpoint(index)


SEEDS = [pickle.dumps({**ARRAYS, TABLE: {}}, protocol) for protocol in (2, 4, 5)]
SEEDS += [pickle.dumps(split({"a": np.arange(6.0)}, 3), 2)]


@settings(max_examples=50)
@given(data=st.data())
def test_changed_bytes_are_an_error_or_tensors(tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from(SEEDS)))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
    path = tmp_path_factory.getbasetemp() / "fuzz.pdparams"
    path.write_bytes(content)
    is_paddle(path)
    try:
        read(path)
    except CheckpointFormatError as error:
        assert str(path) in str(error)


# ----------------------------------------------------------------------------- recorded files


def test_recorded_files(shared):
    paths = sorted((shared / GOLDEN).glob("paddle/*/*.pdparams"))
    assert len(paths) > 5
    for path in paths:
        with path.open("rb") as file:
            expected = pickle.load(file)
        expected.pop(TABLE, None)
        expected = {k: v[1] if isinstance(v, tuple) else v for k, v in expected.items()}
        assert is_paddle(path)
        check(path, expected)


def test_recorded_file_that_is_refused(shared, capfd):
    path = shared / GOLDEN / "hf" / "bert_formats" / "hostile.pdparams"
    assert is_paddle(path)
    with pytest.raises(CheckpointFormatError, match=r"print.*Nothing of it was run"):
        PaddleCheckpoint(path)
    assert capfd.readouterr().out == ""
