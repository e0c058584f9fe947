"""Google's checkpoint format: read and written, whole or with a clear error."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerasbert.checkpoints import google
from kerasbert.checkpoints.errors import CheckpointFormatError, CheckpointNotFoundError
from kerasbert.checkpoints.google import GoogleCheckpoint

CHECKOUT = Path(__file__).resolve().parents[1]
GOLDEN = CHECKOUT.parent / "shared" / "golden" / "google"
DATA = ".data-00000-of-00001"

TENSORS = {
    "bert/embeddings/word_embeddings": np.arange(12, dtype="float32").reshape(3, 4),
    "bert/pooler/dense/kernel": np.full((4, 4), 0.5, dtype="float64"),
    "cls/predictions/output_bias": np.arange(3, dtype="float16"),
    "empty": np.zeros((0, 4), dtype="float32"),
    "global_step": np.array(1_000_000, dtype="int64"),
}


@pytest.fixture
def prefix(tmp_path):
    return google.write(tmp_path / "bert_model.ckpt", TENSORS)


def save_v2(prefix, names, slices, tensors):
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=slices, tensors=tensors)


def files(folder):
    return sorted(path.name for path in Path(folder).iterdir())


# ---------------------------------------------------------------------------------- reading


def test_what_is_in_it(prefix):
    checkpoint = GoogleCheckpoint(prefix)
    assert list(checkpoint) == sorted(TENSORS)
    assert len(checkpoint) == len(TENSORS)
    assert "global_step" in checkpoint and "adam_m" not in checkpoint
    assert checkpoint.shapes == {name: array.shape for name, array in TENSORS.items()}
    assert checkpoint.dtypes == {name: tf.as_dtype(a.dtype) for name, a in TENSORS.items()}
    assert checkpoint.num_bytes == sum(array.nbytes for array in TENSORS.values())
    assert not checkpoint.is_object_graph and checkpoint.hint() is None
    assert "5 tensors, 190 bytes" in repr(checkpoint)


def test_reads_in_stored_dtypes(prefix):
    tensors = GoogleCheckpoint(prefix).read()
    assert list(tensors) == sorted(TENSORS)
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name].numpy(), array)


def test_bfloat16_and_text(tmp_path):
    values = {"b": tf.constant([1.5, -2], tf.bfloat16), "t": tf.constant([b"a", b"\xff" * 99])}
    tensors = GoogleCheckpoint(google.write(tmp_path / "x", values)).read()
    assert tensors["b"].dtype == tf.bfloat16
    assert tensors["t"].numpy().tolist() == [b"a", b"\xff" * 99]
    np.testing.assert_array_equal(tf.cast(tensors["b"], tf.float32), [1.5, -2])


def test_reads_only_what_is_asked_for(prefix):
    checkpoint = GoogleCheckpoint(prefix)
    assert list(checkpoint.read(["global_step", "empty", "global_step"])) == [
        "global_step",
        "empty",
    ]
    assert checkpoint.read([]) == {}
    with pytest.raises(
        KeyError, match=r"pooler/dense/kernal.*near names: bert/pooler/dense/kernel"
    ):
        checkpoint.read(["bert/pooler/dense/kernal"])


def test_path_forms(prefix, monkeypatch):
    monkeypatch.chdir(Path(prefix).parent)
    checkpoint = GoogleCheckpoint(Path("bert_model.ckpt"))
    monkeypatch.chdir("/")
    assert checkpoint.prefix == prefix
    assert len(checkpoint.read()) == len(TENSORS)


@pytest.mark.parametrize("folder", ["模型 1", "[old]", "a*b", "what?", "a\\b"])
@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
def test_odd_folders(tmp_path, folder):
    prefix = google.write(tmp_path / folder / "bert [1].ckpt", TENSORS)
    np.testing.assert_array_equal(
        GoogleCheckpoint(prefix).read(["global_step"])["global_step"], 10**6
    )


def test_under_a_strategy_and_inside_a_function(prefix):
    checkpoint = GoogleCheckpoint(prefix)
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert checkpoint.read(["global_step"])["global_step"].numpy() == 10**6

    @tf.function
    def step():
        # a value and not a symbol: a variable initialised from it must not read the file again
        return tf.constant(checkpoint.read(["global_step"])["global_step"].numpy() + 1)

    assert step().numpy() == 10**6 + 1


def test_several_shards(tmp_path):
    parts = []
    for number, names in enumerate((["a", "b"], ["c"])):
        parts.append(str(tmp_path / f"part{number}"))
        save_v2(parts[-1], names, [""] * len(names), [tf.fill([5], float(number))] * len(names))
    prefix = str(tmp_path / "t5")
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix)
    assert [n for n in files(tmp_path) if n.startswith("t5.data")] == [
        "t5.data-00000-of-00002",
        "t5.data-00001-of-00002",
    ]
    tensors = GoogleCheckpoint(prefix).read()
    assert {name: tensor.numpy()[0] for name, tensor in tensors.items()} == {"a": 0, "b": 0, "c": 1}

    second = tmp_path / "t5.data-00001-of-00002"
    whole = second.read_bytes()
    second.write_bytes(whole[:10])
    with pytest.raises(CheckpointFormatError, match="60 bytes of tensors, but there are 50 in"):
        GoogleCheckpoint(prefix)
    second.unlink()
    with pytest.raises(CheckpointNotFoundError, match=r"found: t5.data-00000-of-00002"):
        GoogleCheckpoint(prefix)


def test_partitioned_variables(tmp_path):
    table = np.arange(12, dtype="float32").reshape(4, 3)
    prefix = str(tmp_path / "parts")
    save_v2(prefix, ["table"] * 2, ["4 3 0,3:0,3", "4 3 3,1:0,3"], [table[:3], table[3:]])
    checkpoint = GoogleCheckpoint(prefix)
    assert checkpoint.shapes == {"table": (4, 3)}
    np.testing.assert_array_equal(checkpoint.read()["table"], table)


def test_object_graph(tmp_path):
    prefix = tf.train.Checkpoint(dense=tf.Variable([1.0])).write(str(tmp_path / "bert_model.ckpt"))
    checkpoint = GoogleCheckpoint(prefix)
    assert checkpoint.is_object_graph
    assert "TensorFlow 2 object checkpoint" in checkpoint.hint()
    assert "'dense/.ATTRIBUTES/VARIABLE_VALUE'" in checkpoint.hint()


# ------------------------------------------------------------------------------ broken files


def test_missing_files(tmp_path, prefix):
    with pytest.raises(CheckpointNotFoundError, match=r"there is no .*other.index"):
        GoogleCheckpoint(tmp_path / "other")
    os.remove(prefix + DATA)
    with pytest.raises(CheckpointNotFoundError, match=r"its data files .* found: none"):
        GoogleCheckpoint(prefix)


@pytest.mark.parametrize("size", [0, 1, 100, 189])
def test_truncated_data(prefix, size):
    data = Path(prefix + DATA)
    data.write_bytes(data.read_bytes()[:size])
    with pytest.raises(CheckpointFormatError, match="truncated") as caught:
        GoogleCheckpoint(prefix)
    assert f"190 bytes of tensors, but there are {size} in {data}" in str(caught.value)


def test_one_wrong_byte_in_the_data(prefix):
    data = Path(prefix + DATA)
    damaged = bytearray(data.read_bytes())
    damaged[20] ^= 1
    data.write_bytes(damaged)
    checkpoint = GoogleCheckpoint(prefix)
    with pytest.raises(CheckpointFormatError, match=r"bert_model.ckpt.data.* damaged.*Checksum"):
        checkpoint.read()
    assert checkpoint.read(["global_step"])["global_step"].numpy() == 10**6, "others still read"


def test_data_that_is_deleted_later(prefix):
    checkpoint = GoogleCheckpoint(prefix)
    os.remove(prefix + DATA)
    with pytest.raises((CheckpointFormatError, CheckpointNotFoundError)):
        checkpoint.read()


@pytest.mark.parametrize("content", [b"", b"x", b"<html>" * 100, bytes(1000)])
def test_not_an_index(prefix, content):
    Path(prefix + ".index").write_bytes(content)
    with pytest.raises(CheckpointFormatError, match="is not the index of a TensorFlow checkpoint"):
        GoogleCheckpoint(prefix)


@pytest.mark.parametrize("suffix", [".index", DATA])
def test_git_lfs_pointers(prefix, suffix):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 435731736\n"
    Path(prefix + suffix).write_text(text)
    with pytest.raises(CheckpointFormatError, match=r"Git LFS pointer.*git lfs pull"):
        GoogleCheckpoint(prefix)


@given(data=st.data())
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_index_damaged_anywhere(prefix, data):
    index = Path(prefix + ".index")
    whole = index.read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    index.write_bytes(damaged[:cut] + damaged[-data.draw(st.integers(0, 48)) :])
    try:
        tensors = GoogleCheckpoint(prefix).read()
    except (CheckpointFormatError, CheckpointNotFoundError):
        return
    finally:
        index.write_bytes(whole)
    for name, tensor in tensors.items():  # harmless damage, such as in unused padding
        np.testing.assert_array_equal(tensor.numpy(), TENSORS[name])


# ---------------------------------------------------------------------------------- writing


def test_writes_tensors_variables_arrays_and_numbers(tmp_path):
    values = {"t": tf.ones([2]), "v": tf.Variable([[3.0]]), "a": np.arange(3), "n": 7.0}
    prefix = google.write(str(tmp_path / "new" / "folders" / "x.ckpt"), values)
    assert files(Path(prefix).parent) == ["x.ckpt" + DATA, "x.ckpt.index"]
    tensors = GoogleCheckpoint(prefix).read()
    for name, value in values.items():
        np.testing.assert_array_equal(tensors[name].numpy(), np.asarray(value))


def test_tensorflow_reads_it(prefix):
    reader = tf.train.load_checkpoint(prefix)
    assert reader.get_variable_to_shape_map() == {n: list(a.shape) for n, a in TENSORS.items()}
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(reader.get_tensor(name), array)


def test_bytes_that_tensorflow_1_reads(prefix):
    """TF 1.15 reads bundles of version 1 with little-endian, uncompressed or Snappy blocks."""
    index = Path(prefix + ".index").read_bytes()
    assert index[-8:] == struct.pack("<Q", 0xDB4775248B80FB57)
    # The first entry: shared 0, key length 0, value of 6 bytes: num_shards 1, version {producer 1}.
    assert index[:9] == b"\0\0\x06\x08\x01\x1a\x02\x08\x01"
    data = Path(prefix + DATA).read_bytes()
    in_order = b"".join(TENSORS[name].tobytes() for name in sorted(TENSORS))
    assert data == in_order


def test_overwrites(prefix):
    google.write(prefix, {"only": tf.ones([2])})
    assert list(GoogleCheckpoint(prefix)) == ["only"]
    assert files(Path(prefix).parent) == ["bert_model.ckpt" + DATA, "bert_model.ckpt.index"]


def test_removes_shards_of_an_older_checkpoint(tmp_path):
    for number in range(2):
        (tmp_path / f"x.data-0000{number}-of-00002").write_bytes(b"old")
    (tmp_path / "x.data-notes.txt").write_text("mine")
    google.write(tmp_path / "x", {"a": tf.ones([2])})
    assert files(tmp_path) == ["x" + DATA, "x.data-notes.txt", "x.index"]


@pytest.mark.parametrize("error", [tf.errors.ResourceExhaustedError, KeyboardInterrupt])
def test_a_failing_write_leaves_the_old_one(prefix, monkeypatch, error):
    real = tf.raw_ops.SaveV2

    def fail(**arguments):
        real(**arguments)
        Path(arguments["prefix"] + ".index").unlink()
        raise error(None, None, "disk full") if error is not KeyboardInterrupt else error

    with monkeypatch.context() as patch:
        patch.setattr(tf.raw_ops, "SaveV2", fail)
        expected = OSError if error is not KeyboardInterrupt else KeyboardInterrupt
        with pytest.raises(expected):
            google.write(prefix, {"new": tf.zeros([3])})
    assert files(Path(prefix).parent) == ["bert_model.ckpt" + DATA, "bert_model.ckpt.index"]
    assert len(GoogleCheckpoint(prefix).read()) == len(TENSORS)


def test_values_that_are_no_tensors_leave_the_old_one(prefix):
    with pytest.raises((TypeError, ValueError)):
        google.write(prefix, {"a": object()})
    assert files(Path(prefix).parent) == ["bert_model.ckpt" + DATA, "bert_model.ckpt.index"]


def test_nothing_to_write_and_nowhere(tmp_path):
    with pytest.raises(ValueError, match="no tensors were given"):
        google.write(tmp_path / "x", {})
    with pytest.raises(ValueError, match=r"is a folder. Give the prefix"):
        google.write(tmp_path, {"a": 1.0})
    with pytest.raises(ValueError, match=r"is a folder. Give the prefix"):
        google.write(f"{tmp_path}/new/", {"a": 1.0})
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        google.write(tmp_path / "file" / "x", {"a": 1.0})
    assert files(tmp_path) == ["file"]


# ----------------------------------------------------------------------- memory, golden files

MEMORY = """
import sys, types
for name, folder in (("kerasbert", ""), ("kerasbert.checkpoints", "/checkpoints")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [sys.argv[2] + folder]
import tensorflow as tf
from kerasbert.checkpoints import google

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

google.GoogleCheckpoint(sys.argv[1]).read(["small"])
before = peak()
tensors = google.GoogleCheckpoint(sys.argv[1]).read()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_that_of_the_tensors(tmp_path):
    values = {f"large/{i}": tf.random.normal([3_000_000]) for i in range(20)}
    prefix = google.write(tmp_path / "x", {**values, "small": tf.ones([])})
    size = os.path.getsize(prefix + DATA)
    command = [sys.executable, "-c", MEMORY, prefix, str(CHECKOUT / "kerasbert")]
    taken = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 0.9 * size < taken < 1.05 * size


def golden_cases():
    return sorted(path.parent.name for path in GOLDEN.glob("*/*.index"))


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden files of the original code not present")
@pytest.mark.parametrize("case", golden_cases())
def test_golden(case, tmp_path):
    """What TensorFlow 1.15 wrote is read, and written again byte for byte."""
    (index,) = (GOLDEN / case).glob("*.index")
    checkpoint = GoogleCheckpoint(str(index)[: -len(".index")])
    listed = json.loads((GOLDEN / case / "case.json").read_text())["variables"]
    assert {name: list(shape) for name, shape in checkpoint.shapes.items()} == listed
    again = google.write(tmp_path / "again", checkpoint.read())
    assert Path(again + DATA).read_bytes() == Path(checkpoint.prefix + DATA).read_bytes()
    assert Path(again + ".index").read_bytes() == index.read_bytes()
