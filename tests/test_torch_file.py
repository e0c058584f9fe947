"""PyTorch's files: every layout that is published, and nothing that is broken or hostile."""

from __future__ import annotations

import json
import pickle
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from kerasbert.backend import tf
from kerasbert.checkpoints import stored_arrays
from kerasbert.checkpoints.errors import CheckpointFormatError, CheckpointNotFoundError
from kerasbert.checkpoints.paddle_file import is_paddle
from kerasbert.checkpoints.renaming import usual_names
from kerasbert.checkpoints.torch_file import TorchCheckpoint, is_torch
from tests.pickles import (
    STORAGES,
    Built,
    Call,
    Global,
    Persistent,
    code,
    described,
    pickled,
    save,
    save_legacy,
    storage,
    strides,
    view,
    write_legacy,
    write_zip,
)
from tests.reading import Reading

GOLDEN = "golden/huggingface"
BFLOAT16 = tf.bfloat16.as_numpy_dtype
ARRAYS = {
    "embeddings.weight": np.arange(12, dtype="float32").reshape(4, 3),
    "norm.bias": np.array([1.5, -2, 0], "float16"),
    "position_ids": np.arange(5)[None],
    "scalar": np.array(2.5, "float32"),
    "empty": np.zeros((0, 3), "float32"),
}
PARAMETER = Global("torch._utils", "_rebuild_parameter")
DICT = Call(Global("collections", "OrderedDict"), ())
FORMATS = pytest.mark.parametrize("write", [save, save_legacy])


_READING = Reading(TorchCheckpoint, ARRAYS)
read, check, refused = _READING.read, _READING.check, _READING.refused


# ----------------------------------------------------------------------------- formats


@FORMATS
def test_values_are_read_as_they_are_stored(tmp_path, write):
    path = write(tmp_path / "pytorch_model.bin", ARRAYS)
    check(path)
    assert repr(TorchCheckpoint(path)).endswith("5 tensors)")
    assert is_torch(path) and not is_paddle(path)


@FORMATS
@pytest.mark.parametrize("dtype", STORAGES)
def test_dtypes(tmp_path, write, dtype):
    value = tf.cast([[1.5, 0.0, 2.0]], dtype).numpy()
    check(write(tmp_path / "a.pt", {"x": value}), {"x": value})


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64"])
def test_dtypes_without_storages(tmp_path, dtype):
    value = np.array([1, 2, np.iinfo(dtype).max], dtype)
    stored = storage("0", Global("torch.storage", "UntypedStorage"), value.nbytes)
    more = (False, DICT, Global("torch", dtype))
    tensor = Call(Global("torch._utils", "_rebuild_tensor_v3"), (stored, 1, (2,), (1,), *more))
    check(write_zip(tmp_path / "a.pt", {"x": tensor}, {"0": value.tobytes()}), {"x": value[1:]})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int8"])
def test_large_tensors_are_read_in_parts(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(stored_arrays, "_CHUNK", 100)
    value = tf.cast(np.arange(1000).reshape(20, 50) % 3, dtype)
    path = save(tmp_path / "a.pt", {"x": value.numpy()})
    found = TorchCheckpoint(path).read(["x"])["x"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.numpy(), value.numpy())
    if dtype == "float32":
        variable = tf.Variable(found)
        del found
        variable.assign_add(tf.ones((20, 50)))  # its memory is its own
        np.testing.assert_array_equal(variable.numpy(), value.numpy() + 1)


def test_parameters_and_tensors_with_attributes(tmp_path):
    tensors, storages = described(ARRAYS)
    ids = tensors["position_ids"]
    wrapped = {
        "embeddings.weight": Call(PARAMETER, (tensors["embeddings.weight"], True, DICT)),
        "norm.bias": Call(
            Global("torch._utils", "_rebuild_parameter_with_state"),
            (tensors["norm.bias"], True, DICT, {"is_parallel": True}),
        ),
        "position_ids": Call(
            Global("torch._tensor", "_rebuild_from_type_v2"),
            (ids.function, Global("torch", "Tensor"), ids.args, {"extra": 1}),
        ),
        "scalar": Call(Global("torch.nn.parameter", "Parameter"), (tensors["scalar"],)),
        "empty": tensors["empty"],
    }
    check(write_zip(tmp_path / "a.pt", wrapped, storages))


def test_the_oldest_function(tmp_path):
    tensor = view(storage("0", "int8", 4), 1, (3,), (1,), version="")
    check(
        write_zip(tmp_path / "a.pt", {"x": tensor}, {"0": b"abcd"}),
        {"x": np.array([98, 99, 100], "int8")},
    )


BASE = np.arange(24, dtype="int16").reshape(2, 3, 4)
VIEWS = {
    "transposed": BASE.transpose(2, 0, 1),
    "middle": BASE[1:, 1:],
    "steps": BASE[:, ::2, 1::2],
    "column": BASE[:, :, 3],
    "expanded": np.broadcast_to(BASE[1, 1], (5, 4)),
    "long axis of one": BASE[:1].transpose(1, 0, 2),
    "overlapping": np.lib.stride_tricks.as_strided(BASE, (10, 3), (2, 2)),
    "one": BASE[1, 2, 3:].reshape(()),
}


def offset(array: np.ndarray) -> int:
    return (array.ctypes.data - BASE.ctypes.data) // BASE.itemsize


@pytest.mark.parametrize("legacy", [False, True])
def test_views(tmp_path, legacy):
    """Tensors of one storage, of which each takes a part."""
    stored = storage("7", "int16", BASE.size, *([None] if legacy else []))
    tensors = {n: view(stored, offset(v), v.shape, strides(v)) for n, v in VIEWS.items()}
    if legacy:
        path = write_legacy(tmp_path / "a.pt", tensors, {"7": (BASE.size, BASE.tobytes())})
    else:
        path = write_zip(tmp_path / "a.pt", tensors, {"7": BASE.tobytes()})
    check(path, VIEWS)


def test_views_of_storages(tmp_path):
    """As PyTorch 0.x stored them."""
    root = np.arange(10, dtype="float32")
    tensors = {
        "a": view(storage("1", "float32", 10, ("2", 4, 3)), 1, (2,), (1,)),
        "b": view(storage("1", "float32", 10, None), 0, (10,), (1,)),
    }
    path = write_legacy(tmp_path / "a.pt", tensors, {"1": (10, root.tobytes())})
    check(path, {"a": root[5:7], "b": root})


def test_tied_weights_are_read_once(tmp_path):
    tensors, storages = described({"a": ARRAYS["embeddings.weight"]})
    path = write_zip(tmp_path / "a.pt", {"a": tensors["a"], "b": tensors["a"]}, storages)
    found = TorchCheckpoint(path).read(["a", "b"])
    assert found["a"] is found["b"]


def test_numpy_arrays_among_tensors(tmp_path):
    tensors, storages = described({"a": ARRAYS["embeddings.weight"]})
    value = np.arange(3, dtype="float64")
    array = pickle.dumps(value, 2)[2:-1]  # without the protocol and the end
    data = b"\x80\x02" + code({"a": tensors["a"]})[:-1] + code("b") + array + b"u."
    check(
        write_zip(tmp_path / "a.pt", data, storages), {"a": ARRAYS["embeddings.weight"], "b": value}
    )


# ----------------------------------------------------------------------------- state dicts


OPTIMIZER = {"state": {"0": {"exp_avg": 1.0}}, "param_groups": [{"lr": 0.1}]}
WRAPPERS = {
    "with its versions": lambda tensors: Built(tensors, {"_metadata": DICT}),
    "Lightning": lambda tensors: {
        **{"epoch": 3, "state_dict": tensors, "callbacks": {}, "hyper_parameters": {"lr": 0.1}},
        "loss": tensors["scalar"],
    },
    "fairseq": lambda tensors: {
        "args": Built(Call(Global("argparse", "Namespace"), ()), {"arch": "roberta"}),
        "cfg": Call(Global("omegaconf.dictconfig", "DictConfig"), ()),
        "model": tensors,
        "optimizer_history": [{"num_updates": 5}],
    },
    "with an optimizer": lambda tensors: {
        "semantic_weights": tensors,
        "optimizer": {"state": {"exp_avg": tensors["scalar"]}, "param_groups": []},
        "model_ema": {"x": tensors["scalar"]},
        "lr_scheduler": {"x": tensors["scalar"]},
    },
    "nested": lambda tensors: {"a": {"model": {"net": tensors}, "b": None}},
    "with plain entries": lambda tensors: {
        **{"version": 3, "none": None, "list": [1], "dict": {"a": 1}},
        **tensors,
    },
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_wrappers(tmp_path, wrap):
    check(save(tmp_path / "a.pt", ARRAYS, wrap))


def test_usual_names(tmp_path):
    """Prefixes stay, and are taken off where names are looked up."""
    path = save(tmp_path / "a.pt", {f"module.{name}": value for name, value in ARRAYS.items()})
    assert list(usual_names(TorchCheckpoint(path).shapes)) == list(ARRAYS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "but an empty dict"),
        ({"a": 1, "b": {}}, "but a dict with 'a', 'b'"),
        ([1], "but a list"),
        (None, "but a NoneType"),
        (view(storage("0", "int8", 1), 0, (1,), (1,)), "a tensor without a name"),
        (OPTIMIZER, "holds the state of an optimizer.*such as pytorch_model.bin"),
        (
            Call(Global("transformers.training_args", "TrainingArguments"), ()),
            "but an object of 'transformers.training_args.TrainingArguments'",
        ),
        (
            {name: {"w": view(storage("0", "int8", 1), 0, (1,), (1,))} for name in ("a", "b")},
            "holds several dicts of tensors: 'a', 'b'",
        ),
    ],
)
def test_no_state_dict(tmp_path, value, message):
    refused(write_zip(tmp_path / "a.pt", value, {"0": b"x"}), message)


def test_a_dict_in_itself(tmp_path):
    data = b"\x80\x02}q\0" + code("a") + b"h\0s."
    refused(write_zip(tmp_path / "a.pt", data, {}), "no tensors")


def test_dicts_that_share_dicts(tmp_path):
    """A hundred steps with two ways each, to a place without tensors."""
    level = b"}q\0"
    for _ in range(100):
        level = b"}(" + code("a") + level + code("b") + b"h\0uq\0"
    refused(write_zip(tmp_path / "a.pt", b"\x80\x02" + level + b".", {}), "no tensors")


# ----------------------------------------------------------------------------- broken tensors


BAD_VIEWS = {
    "beyond the storage": (0, (5,), (1,)),
    "offset beyond": (4, (1,), (1,)),
    "stride beyond": (0, (2, 2), (3, 1)),
    "overflow": (0, (2**40, 2**40), (1, 1)),
    "long": (0, (2**62,), (1,)),
    "very long": (0, (2**2000,), (1,)),
    "negative offset": (-1, (2,), (1,)),
    "negative shape": (0, (-2,), (1,)),
    "negative stride": (3, (4,), (-1,)),
    "repeated too often": (0, (2**40,), (0,)),
    "fewer strides": (0, (2, 2), (1,)),
    "many axes": (0, (1,) * 33, (1,) * 33),
    "a list": (0, [2], [1]),
    "floats": (0, (2.0,), (1,)),
    "truth": (True, (1,), (1,)),
    "text": ("0", (1,), (1,)),
    "nothing": (None, None, None),
}


@pytest.mark.parametrize("bad", BAD_VIEWS.values(), ids=BAD_VIEWS)
def test_views_that_are_none(tmp_path, bad):
    tensors = {"good": view(storage("0", "float32", 4), 0, (4,), (1,))}
    tensors["bad"] = view(storage("0", "float32", 4), *bad)
    refused(write_zip(tmp_path / "a.pt", tensors, {"0": bytes(16)}), "is damaged at 'bad'")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (storage("0", "float32", 5), "takes 20 bytes, of which 16 are there"),
        (storage("0", "float32", 2**45), "bytes, of which 16 are there"),
        (storage("1", "float32", 4), "its storage is missing"),
        (storage("../0", "float32", 4), "its storage is missing"),
        (storage("0", "float32", -1), "not described as PyTorch does"),
        (storage("0", "float32", 2.0), "not described as PyTorch does"),
        (storage("0", Global("torch", "Size"), 4), "not described as PyTorch does"),
        (Persistent(("storage",)), "something else than tensors"),
        (Persistent("storage"), "something else than tensors"),
        (Persistent(("module", None, None, None, None)), "such as a whole module"),
        (storage("0", "float32", 4, ("1", 3, 2)), "view of more than there is"),
        (storage("0", "float32", 4, 5), "cannot unpack"),
        (5, "has no storage"),
    ],
)
def test_storages_that_are_none(tmp_path, stored, message):
    tensors = {"x": view(stored, 0, (1,), (1,))}
    refused(write_zip(tmp_path / "a.pt", tensors, {"0": bytes(16)}), message)


def test_a_storage_is_only_what_the_description_says(tmp_path):
    tensors = {"x": view(storage("0", "int8", 2), 0, (3,), (1,))}
    refused(write_zip(tmp_path / "a.pt", tensors, {"0": b"abcd"}), "reaches to byte 3 of 2")


def call(name: str, *args) -> Call:
    return Call(Global("torch._utils", name), args)


STORED = storage("0", "float32", 4)
NEGATED = view(STORED, 0, (1,), (1,))
UNREADABLE = {
    "quantised": (
        call("_rebuild_qtensor", storage("0", Global("torch", "QInt8Storage"), 16), 0, (4,), (1,)),
        "holds 'x' as QInt8Storage, as quantised",
    ),
    "complex": (
        view(storage("0", Global("torch", "ComplexFloatStorage"), 2), 0, (1,), (1,)),
        "as ComplexFloatStorage",
    ),
    "float8": (
        call(
            *("_rebuild_tensor_v3", storage("0", "uint8", 16), 0, (4,), (1,), False, DICT),
            Global("torch", "float8_e4m3fn"),
        ),
        "as float8_e4m3fn",
    ),
    "sparse": (call("_rebuild_sparse_tensor", 1, (2,)), "a tensor is sparse"),
    "negated": (Call(NEGATED.function, (*NEGATED.args, {"neg": True})), "negated or conjugated"),
    "without dtype": (
        call("_rebuild_tensor_v3", STORED, 0, (1,), (1,), False, DICT, 4),
        "has no dtype",
    ),
    "built by another": (
        Call(
            Global("torch._tensor", "_rebuild_from_type_v2"),
            (Global("torch", "Size"), Global("torch", "Tensor"), ((1,),), {}),
        ),
        "something else than PyTorch's functions",
    ),
}


@pytest.mark.parametrize(("tensor", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_tensors_that_are_not_read(tmp_path, tensor, message):
    refused(write_zip(tmp_path / "a.pt", {"x": tensor}, {"0": bytes(16)}), message)


# ----------------------------------------------------------------------------- broken files


def test_truncated_files(tmp_path):
    for write in (save, save_legacy):
        path = write(tmp_path / "a.bin", ARRAYS)
        data = path.read_bytes()
        for size in (60, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:size])
            refused(path, "is damaged|is truncated|cannot be read")
            assert is_torch(path)


def test_damaged_bytes(tmp_path):
    value = np.arange(100, dtype="float32")
    path = save(tmp_path / "a.bin", {"x": value, "y": value[:1]})
    data = bytearray(path.read_bytes())
    data[data.index(value.tobytes()) + 50] ^= 1
    path.write_bytes(data)
    checkpoint = TorchCheckpoint(path)
    with pytest.raises(CheckpointFormatError, match="damaged at 'x': its checksum"):
        checkpoint.read(["x"])
    assert checkpoint.read(["y"])["y"].numpy() == 0


def test_files_without_checksums(tmp_path):
    """PyTorch can leave them out, and writes zeros then."""
    arrays = {"x": np.arange(100, dtype="float32")}
    path = save(tmp_path / "a.bin", arrays)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            assert info.CRC
            crc = info.CRC.to_bytes(4, "little")
            while crc in data:
                data[data.index(crc) : data.index(crc) + 4] = bytes(4)
    path.write_bytes(data)
    check(path, arrays)


def test_a_file_that_becomes_shorter(tmp_path):
    path = save(tmp_path / "a.bin", ARRAYS)
    checkpoint = TorchCheckpoint(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointFormatError, match="became shorter"):
        checkpoint.read(["embeddings.weight"])


def test_zip_archives_of_other_kinds(tmp_path):
    path = tmp_path / "a.bin"
    tensors, storages = described(ARRAYS)
    cases = {
        "is a program in TorchScript": {"constants.pkl": b"x", "code/a.py": b"y"},
        "machine with big-endian numbers": {"byteorder": b"big"},
    }
    for message, members in cases.items():
        refused(write_zip(path, tensors, storages, **members), message)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/bert_model.ckpt.index", b"x")
    refused(path, "a zip archive without data.pkl")
    assert not is_torch(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickled(tensors) * 10)
    refused(path, "'a/data.pkl' is compressed")


def test_a_zip_archive_that_begins_with_other_members(tmp_path):
    save(tmp_path / "a.bin", ARRAYS)
    with (
        zipfile.ZipFile(tmp_path / "a.bin") as old,
        zipfile.ZipFile(tmp_path / "b.bin", "w") as new,
    ):
        for name in sorted(old.namelist(), reverse=True):
            new.writestr(name, old.read(name))
    assert is_torch(tmp_path / "b.bin")
    check(tmp_path / "b.bin")


def test_encrypted_members(tmp_path):
    path = save(tmp_path / "a.bin", ARRAYS)
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    while place >= 0:
        data[place + 8] |= 1
        place = data.rfind(b"PK\x01\x02", 0, place)
    path.write_bytes(data)
    refused(path, "is encrypted")


def test_a_directory_that_claims_much(tmp_path):
    path = save(tmp_path / "a.bin", ARRAYS)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end + 12 : end + 16] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    refused(path, "is damaged or truncated")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\n <html>", "is a web page"),
        (b"x" * 100, "is no file of `torch.save`"),
        (pickle.dumps({"a": 1}), "is no file of `torch.save`"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"PK\x03\x04", "is damaged or truncated"),
        (b"PK\x05\x06" + bytes(18), "zip archive without data.pkl"),
    ],
)
def test_files_of_other_kinds(tmp_path, content, message):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    refused(path, message)
    assert not is_torch(path)


def test_files_of_before_2017(tmp_path):
    path = tmp_path / "a.pth"
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(name))
    assert is_torch(path)
    refused(path, "of a PyTorch of before 2017")


def test_what_is_no_file(tmp_path):
    assert not is_torch(tmp_path)
    assert not is_torch(tmp_path / "nothing")


LEGACY = view(storage("a", "float32", 2), 0, (2,), (1,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": 1000}, "is of version 1000"),
        ({"version": "x" * 500}, "is of version xxxx"),
        ({"system": {"little_endian": False}}, "big-endian"),
        ({"system": 5}, "big-endian"),
        ({"storages": {"a": (3, bytes(8))}}, "of 2 numbers holds 3"),
        ({"storages": {"a": (-1, bytes(8))}}, "of 2 numbers holds -1"),
        ({"storages": {"a": (2, bytes(7))}}, "is truncated"),
        ({"storages": {"a": (2, bytes(8)), "b": (2, bytes(8))}}, "storage that nothing is in"),
        ({"storages": {}}, "storage is missing"),
    ],
)
def test_broken_legacy_files(tmp_path, options, message):
    options = {"storages": {"a": (2, bytes(8))}, **options}
    refused(write_legacy(tmp_path / "a.pt", {"x": LEGACY}, **options), message)


def test_a_legacy_file_without_a_list_of_storages(tmp_path):
    path = write_legacy(tmp_path / "a.pt", {"x": LEGACY}, {})
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"\x80\x02")] + pickled(5))
    refused(path, "does not list its storages")


# ----------------------------------------------------------------------------- shards


SHARDS = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]


@pytest.fixture
def sharded(tmp_path) -> Path:
    """Two shards and their index, which is returned."""
    names = list(ARRAYS)
    for shard, part in zip(SHARDS, (names[:2], names[2:])):
        save(tmp_path / shard, {name: ARRAYS[name] for name in part})
    listed = {name: SHARDS[i >= 2] for i, name in enumerate(names)}
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": listed}))
    return index


def test_shards(sharded):
    for path in (sharded, sharded.with_name(SHARDS[0]), sharded.with_name(SHARDS[1])):
        check(path)


def test_a_shard_is_missing(sharded):
    sharded.with_name(SHARDS[1]).unlink()
    for path in (sharded, sharded.with_name(SHARDS[0])):
        with pytest.raises(CheckpointNotFoundError, match=r"1 of the 2 shards .*-00002-of-00002"):
            TorchCheckpoint(path)


def test_shards_of_different_models(sharded):
    save(sharded.with_name(SHARDS[1]), {"norm.bias": ARRAYS["norm.bias"]})
    with pytest.raises(CheckpointFormatError, match="in another shard"):
        TorchCheckpoint(sharded)
    save(sharded.with_name(SHARDS[1]), {"x": ARRAYS["norm.bias"]})
    with pytest.raises(CheckpointFormatError, match="lists 3 tensors that are not in its shards"):
        TorchCheckpoint(sharded)


# ----------------------------------------------------------------------------- use


def test_several_threads_read_at_once(tmp_path):
    arrays = {str(i): np.full(1000, i, "float32") for i in range(20)}
    checkpoint = TorchCheckpoint(save(tmp_path / "a.bin", arrays))
    with ThreadPoolExecutor(4) as pool:
        for i, found in enumerate(pool.map(checkpoint.read, [[str(i)] for i in range(20)])):
            np.testing.assert_array_equal(found[str(i)].numpy(), i)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_file_stays_open(tmp_path):
    path = save(tmp_path / "a.bin", ARRAYS)
    checkpoint = TorchCheckpoint(path)
    checkpoint.read(list(ARRAYS))
    opened = [link.resolve() for link in Path("/proc/self/fd").iterdir() if link.exists()]
    assert path.resolve() not in opened
    assert str(path) not in Path("/proc/self/maps").read_text()


# ----------------------------------------------------------------------------- fuzz


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    tensors, storages = described(ARRAYS)
    legacy = save_legacy(folder / "a", ARRAYS)
    small = write_zip(folder / "b", {"a": tensors["scalar"]}, {"3": storages["3"]})
    return [path.read_bytes() for path in (save(folder / "c", ARRAYS), legacy, small)]


@settings(max_examples=50)
@given(data=st.data())
def test_changed_bytes_are_an_error_or_tensors(tmp_path_factory, seeds, data):
    content = bytearray(data.draw(st.sampled_from(seeds)))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
    path = tmp_path_factory.getbasetemp() / "fuzz.bin"
    path.write_bytes(content)
    is_torch(path)
    try:
        read(path)
    except CheckpointFormatError as error:
        assert str(path) in str(error)


# ----------------------------------------------------------------------------- recorded files


def stored(path: Path) -> dict[str, np.ndarray]:
    with safe_open(path, "numpy") as tensors:
        return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118


def compare(path: Path, expected: dict[str, np.ndarray]) -> None:
    checkpoint = TorchCheckpoint(path)
    names = usual_names(checkpoint.shapes)
    assert expected.keys() <= names.keys(), path
    found = checkpoint.read([names[name] for name in expected])
    for name, value in expected.items():
        tensor = found[names[name]].numpy()
        assert tensor.dtype == value.dtype
        assert tensor.shape == value.shape
        assert tensor.tobytes() == value.tobytes(), (path, name)


def test_every_recorded_model_equals_its_safetensors(shared):
    paths = sorted(shared.glob(f"{GOLDEN}/hf/*/pytorch_model.bin"))
    assert len(paths) > 20
    for path in paths:
        compare(path, stored(path.with_name("model.safetensors")))


@pytest.mark.parametrize(
    "variant",
    [
        *("bin", "oldnames.bin", "legacy.bin", "module.bin", "wrapped.pt", "views.bin"),
        *("params.bin", "fp16.bin", "bf16.bin"),
    ],
)
def test_recorded_variants(shared, variant):
    folder = shared / GOLDEN / "hf" / "bert_formats"
    kind = variant.partition(".")[0]
    name = f"model.{kind}.safetensors" if kind in ("fp16", "bf16") else "model.safetensors"
    compare(folder / f"pytorch_model.{variant}", stored(folder / name))


def test_recorded_shards(shared):
    folder = shared / GOLDEN / "hf" / "bert_formats"
    expected = stored(folder / "model.safetensors")
    for path in sorted((folder / "sharded_bin").iterdir()):
        if path.suffix in (".bin", ".json") and "config" not in path.name:
            compare(path, expected)


def test_recorded_files_that_are_refused(shared, capfd):
    folder = shared / GOLDEN / "hf" / "bert_formats"
    with pytest.raises(CheckpointFormatError, match=r"print.*Nothing of it was run"):
        TorchCheckpoint(folder / "hostile.bin")
    with pytest.raises(CheckpointFormatError, match="damaged or truncated"):
        TorchCheckpoint(folder / "truncated.bin")
    assert capfd.readouterr().out == ""
    assert is_torch(folder / "hostile.bin") and is_torch(folder / "truncated.bin")


@pytest.mark.parametrize(
    ("pattern", "model"),
    [
        ("uer/bert_20*/model.bin", "bert_pretraining"),
        ("uer/albert/model.bin", "albert_pretraining"),
        ("uer/xlmr*/model.bin", "xlmr_mlm"),
        ("fairseq/roberta_20*/model.pt", "roberta_mlm"),
        ("fairseq/xlmr_2019/model.pt", "xlmr_mlm"),
        ("fairseq/xlmr_xl_2021/model.pt", "xlmr_xl_mlm"),
    ],
)
def test_recorded_files_of_other_programs(shared, pattern, model):
    """Under other names, but of the same numbers."""
    expected = stored(shared / GOLDEN / "hf" / model / "model.safetensors")
    paths = list((shared / GOLDEN).glob(pattern))
    assert paths
    for path in paths:
        assert is_torch(path)
        found = {value.tobytes() for value in read(path).values()}
        same = [name for name, value in expected.items() if value.tobytes() in found]
        assert len(same) > len(expected) / 2
