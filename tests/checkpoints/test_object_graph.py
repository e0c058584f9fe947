"""The graph of objects of a TensorFlow 2 checkpoint: paths, names, and damaged graphs."""

from __future__ import annotations

import re
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import trackable_object_graph_pb2

from kerasbert.backend import tf
from kerasbert.checkpoints import google
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.google import GoogleCheckpoint
from kerasbert.checkpoints.object_graph import GRAPH_KEY, VALUE_SUFFIX, ObjectGraph
from tests.checkpoints.garden_cases import FOLDER, write_objects

SHAPES = {"a": (2,), "b": (3, 4), "moment": (2,)}


def message(*nodes):
    """A serialized graph of (children, tensor, slots): dicts, a (key, name) or None, numbers."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    for children, tensor, slots in nodes:
        node = graph.nodes.add()
        for name, child in children.items():
            node.children.add(local_name=name, node_id=child)
        if tensor:
            node.attributes.add(
                name="VARIABLE_VALUE", checkpoint_key=tensor[0], full_name=tensor[1]
            )
        for slot in slots:
            node.slot_variables.add(
                original_variable_node_id=0, slot_name="m", slot_variable_node_id=slot
            )
    return graph.SerializeToString()


def parse(*nodes, shapes=SHAPES):
    return ObjectGraph.parse(message(*nodes), shapes)


def found(graph):
    return [(v.key, v.name, v.path, v.shape) for v in graph.variables]


# ---- what a graph says ---------------------------------------------------------------------------


def test_as_tensorflow_writes_it(tmp_path):
    values = {"word/embeddings": np.ones((3, 2), "float32"), "out/bias": np.zeros(4, "int64")}
    source = write_objects(tmp_path / "ckpt", values)
    graph = ObjectGraph.read(source)
    assert [(v.name, v.path, v.shape) for v in graph.variables] == [
        ("word/embeddings", "model/items/0", (3, 2)),
        ("out/bias", "model/items/1", (4,)),
    ]
    assert [v.key for v in graph.variables] == [f"model/items/{i}{VALUE_SUFFIX}" for i in range(2)]
    assert repr(graph).endswith("2 variables)")
    node = graph.find("model/items/1")
    assert graph.variable(node).name == "out/bias"
    assert graph.variable(graph.find("model")) is None
    assert graph.find("model/nothing") is None
    assert set(graph.children(graph.find("model/items"))) == {"0", "1"}
    assert graph.find("") == 0


def test_names_with_slashes_and_dots(tmp_path):
    """TensorFlow writes them with escapes, in the keys only."""
    inner = tf.train.Checkpoint(**{"a.b": tf.Variable(1.0, name="first")})
    path = tf.train.Checkpoint(**{"x/y": inner, "c..d": tf.Variable(2.0, name="second")}).write(
        str(tmp_path / "ckpt")
    )
    source = GoogleCheckpoint(path)
    by_graph = {v.name: v.path for v in ObjectGraph.read(source).variables}
    assert by_graph == {"first": "x/y/a.b", "second": "c..d"}
    # Without the graph, the keys alone say the same.
    tensors = source.read()
    google.write(tmp_path / "keys", {k: v for k, v in tensors.items() if k != GRAPH_KEY})
    keys = ObjectGraph.read(GoogleCheckpoint(tmp_path / "keys"))
    assert {v.path for v in keys.variables} == {"x/y/a.b", "c..d"}
    assert {v.name for v in keys.variables} == {""}


def test_a_variable_with_several_paths_is_there_once():
    graph = parse(
        ({"long": 1, "short": 2}, None, ()),
        ({"way": 2}, None, ()),
        ({}, ("a", "name"), ()),
    )
    assert found(graph) == [("a", "name", "short", (2,))]
    assert [v.path for v in graph.below(1)] == ["way"]
    assert [v.path for v in graph.below(2)] == [""]


def test_what_belongs_to_an_optimizer_is_left_out():
    graph = parse(
        ({"model": 1, "optimizer": 2, "kept": 5}, None, ()),
        ({"w": 3, "_optimizer": 2}, None, ()),
        ({"iterations": 4}, None, (5,)),
        ({}, ("a", "w"), ()),
        ({}, ("b", "iterations"), ()),
        ({}, ("moment", "m"), ()),
    )
    assert found(graph) == [("a", "w", "model/w", (2,))]


@pytest.mark.parametrize("attribute", ["optimizer", "_optimizer", "adam_optimizer", "optimizer_1"])
def test_names_of_optimizers(attribute):
    assert not found(parse(({attribute: 1}, None, ()), ({}, ("a", ""), ())))


@pytest.mark.parametrize("attribute", ["optimizers_are_many", "dense", "not optimizer"])
def test_other_names(attribute):
    assert found(parse(({attribute: 1}, None, ()), ({}, ("a", ""), ())))


def test_both_generations_of_optimizers(tmp_path):
    """A pretrainer of Model Garden in training."""
    with tarfile.open(FOLDER / "pretrainer.tar.xz") as archive:
        archive.extractall(tmp_path)
    source = GoogleCheckpoint(tmp_path / "ckpt-1")
    graph = ObjectGraph.read(source)
    keys = {variable.key for variable in graph.variables}
    others = {key for key in source.shapes if "optimizer" not in key} - {GRAPH_KEY}
    assert keys == others
    assert len(source.shapes) > 2 * len(keys)


def test_circles():
    graph = parse(({"self": 0, "next": 1}, None, ()), ({"back": 0, "w": 2}, None, ()),
                  ({}, ("a", ""), ()))  # fmt: skip
    assert found(graph) == [("a", "", "next/w", (2,))]


def test_nodes_with_children_of_names():
    graph = parse(
        ({"model": 1, "left": 3}, None, ()),
        ({"left": 2, "right": 3}, None, ()),
        ({}, ("a", ""), ()),
        ({}, ("b", ""), ()),
    )
    assert graph.find_with("left", "right") == 1
    assert graph.find_with("left") == 0
    assert graph.find_with("right", "none") is None


def test_variables_without_a_tensor_are_not_there():
    assert not found(parse(({"w": 1}, None, ()), ({}, ("not stored", "w"), ())))


# ---- damaged graphs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message_part"),
    [
        (b"", "absent"),
        (b"\xff\xff\xff", "damaged"),
        (message(({"w": 7}, None, ())), "node 7"),
        (message(({"w": -1}, None, ())), "node -1"),
        (message(({}, None, (3,))), "node 3"),
        (message(({"n" * 1001: 0}, None, ())), "more than 1000 characters"),
        ("text", "damaged"),
    ],
)
def test_damage(content, message_part):
    with pytest.raises(CheckpointFormatError, match=re.escape(message_part)):
        ObjectGraph.parse(content, SHAPES, "x")


def test_deep_nesting_ends():
    depth = 5000
    nodes = [({"n" * 900: i + 1}, None, ()) for i in range(depth)]
    graph = parse(*nodes, ({}, ("a", ""), ()))
    assert not graph.variables


def test_a_graph_that_is_no_text(tmp_path):
    google.write(tmp_path / "ckpt", {GRAPH_KEY: np.zeros(3, "float32")})
    with pytest.raises(CheckpointFormatError, match="object graph"):
        ObjectGraph.read(GoogleCheckpoint(tmp_path / "ckpt"))


GOOD = message(
    ({"model": 1, "optimizer": 2}, None, ()),
    ({"w": 3, "v": 4}, None, ()),
    ({}, None, (4,)),
    ({}, ("a", "w"), ()),
    ({"back": 0}, ("b", "v"), ()),
)


@settings(max_examples=200)
@given(st.data())
def test_any_bytes(data):
    """They are a graph of some kind, or an error that says what is wrong."""
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        graph = ObjectGraph.parse(content, SHAPES)
    except CheckpointFormatError:
        return
    assert all(variable.key in SHAPES for variable in graph.variables)


@given(st.dictionaries(st.text("ab./S", min_size=1, max_size=6), st.just((2,)), max_size=5))
def test_any_keys(shapes):
    graph = ObjectGraph._from_keys({key + VALUE_SUFFIX: shape for key, shape in shapes.items()})
    assert len(graph.variables) == len({variable.key for variable in graph.variables})
    assert len(graph.variables) <= len(shapes)
