"""TensorFlow 2's object checkpoints: which variable of which Python object every tensor is.

``tf.train.Checkpoint``, ``save_weights('x.ckpt')`` and SavedModels name a tensor by a way to its
variable through Python attributes (``encoder/layer_with_weights-0/embeddings``), one of many.
Beside the tensors lies the graph of the objects: nodes with named children, and for every variable
the key of its tensor and the name that it had in the program (``word_embeddings/embeddings``). It
is data and read as such; no program is run.

    checkpoint = GoogleCheckpoint("folder/ckpt-1")
    graph = ObjectGraph.read(checkpoint)
    for variable in graph.variables:  # without those of optimizers
        print(variable.key, variable.name, variable.path)
    layers = graph.children(graph.find("encoder/_transformer_layers"))  # {"0": 17, "1": 18, ...}
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2

from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.google import GoogleCheckpoint

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

_SLOT = ".OPTIMIZER_SLOT"
_OPTIMIZER = re.compile(r"_?(\w*_)?optimizer(_\w+)?")
# More than any program has: the paths of a damaged graph shall not fill the memory.
_MAX_DEPTH = 100
_MAX_NAME = 1_000
_MAX_BYTES = 500_000_000


@dataclass(frozen=True)
class ObjectVariable:
    """A variable and its tensor.

    Attributes:
        key: name of the tensor in the checkpoint.
        name: name of the variable in the program that wrote it; empty where none was recorded.
        path: the shortest way to it from the root: the names of attributes, joined by ``/``.
        shape: of the tensor.
    """

    key: str
    name: str
    path: str
    shape: tuple[int, ...]


class ObjectGraph:
    """The objects of a checkpoint.

    Attributes:
        variables: all that are stored, without what belongs to an optimizer, in the order of
            their nodes; a variable with several paths is there once.

    Args:
        children: of every node, the node numbers by attribute name; node 0 is the root.
        tensors: of the nodes that are variables, (key, name).
        shapes: shape of every tensor of the checkpoint by key.
        slots: nodes that are an optimizer's, such as moments.
    """

    def __init__(
        self,
        children: list[dict[str, int]],
        tensors: Mapping[int, tuple[str, str]],
        shapes: Mapping[str, tuple[int, ...]],
        slots: frozenset[int] = frozenset(),
    ):
        self._children = children
        self._tensors = dict(tensors)
        self._shapes = shapes
        self._slots = slots
        self.variables = tuple(self.below(0))

    @classmethod
    def read(cls, checkpoint: GoogleCheckpoint) -> ObjectGraph:
        """Reads the graph of an open checkpoint.

        Where only the tensors are there, their keys are taken for the paths of their variables.

        Args:
            checkpoint: one whose ``is_object_graph`` is true.

        Raises:
            CheckpointFormatError: the graph is damaged.
        """
        if GRAPH_KEY not in checkpoint.shapes:
            return cls._from_keys(checkpoint.shapes)
        content = checkpoint.read([GRAPH_KEY])[GRAPH_KEY].numpy()
        return cls.parse(content, checkpoint.shapes, checkpoint.prefix)

    @classmethod
    def parse(
        cls, content: bytes, shapes: Mapping[str, tuple[int, ...]], name: str = "the checkpoint"
    ) -> ObjectGraph:
        """The graph of a serialized ``TrackableObjectGraph``.

        Args:
            content: the message.
            shapes: of the tensors that lie beside it, by key.
            name: of the checkpoint, for messages.

        Raises:
            CheckpointFormatError: it is no such message.
        """
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        try:
            if not isinstance(content, bytes) or len(content) > _MAX_BYTES:
                raise DecodeError("it is no message of a usual size")
            graph.ParseFromString(content)
            children = [{c.local_name: c.node_id for c in node.children} for node in graph.nodes]
            slots = frozenset(
                slot.slot_variable_node_id for node in graph.nodes for slot in node.slot_variables
            )
            wrong = slots.union(*(nodes.values() for nodes in children)) - set(range(len(children)))
            if any(len(name) > _MAX_NAME for nodes in children for name in nodes):
                raise DecodeError(f"it has names of more than {_MAX_NAME} characters")
            if wrong or not children:
                raise DecodeError(f"it refers to the node {min(wrong, default=0)}, which is absent")
        except (DecodeError, ValueError) as error:
            raise CheckpointFormatError(
                f"the object graph of {name} is damaged: {error}. Download the checkpoint again."
            ) from error
        tensors = {
            number: (attribute.checkpoint_key, attribute.full_name)
            for number, node in enumerate(graph.nodes)
            for attribute in node.attributes
            if attribute.checkpoint_key in shapes and attribute.name == "VARIABLE_VALUE"
        }
        return cls(children, tensors, shapes, slots)

    @classmethod
    def _from_keys(cls, shapes: Mapping[str, tuple[int, ...]]) -> ObjectGraph:
        children: list[dict[str, int]] = [{}]
        tensors = {}
        for key in shapes:
            if not key.endswith(VALUE_SUFFIX) or _SLOT in key:
                continue
            number = 0
            for part in key[: -len(VALUE_SUFFIX)].split("/"):
                attribute = re.sub(r"\.([.S])", lambda m: "/" if m[1] == "S" else ".", part)
                if attribute not in children[number]:
                    children[number][attribute] = len(children)
                    children.append({})
                number = children[number][attribute]
            tensors[number] = key, ""
        return cls(children, tensors, shapes)

    def __repr__(self) -> str:
        return f"ObjectGraph({len(self._children)} objects, {len(self.variables)} variables)"

    def children(self, node: int) -> dict[str, int]:
        """The nodes that an object refers to, by attribute name."""
        return dict(self._children[node])

    def find(self, path: str, start: int = 0) -> int | None:
        """The node at the end of a path of attributes without slashes in them; None if none."""
        node: int | None = start
        for part in filter(None, path.split("/")):
            node = self._children[node].get(part)
            if node is None:
                return None
        return node

    def find_with(self, *names: str) -> int | None:
        """The nearest node to the root that has children of all these names; None if none has."""
        return next(
            (node for node in self._ways(0) if {*names} <= self._children[node].keys()), None
        )

    def variable(self, node: int) -> ObjectVariable | None:
        """The variable that a node is, with an empty path; None for other objects."""
        if node not in self._tensors:
            return None
        key, name = self._tensors[node]
        return ObjectVariable(key, name, "", tuple(self._shapes[key]))

    def below(self, start: int) -> Iterator[ObjectVariable]:
        """The variables that a node leads to, each once, with their paths from there."""
        ways = self._ways(start)
        for node in sorted(ways.keys() & self._tensors.keys()):
            parts = []
            at = node
            while at != start:
                at, part = ways[at]
                parts.append(part)
            key, name = self._tensors[node]
            yield ObjectVariable(key, name, "/".join(reversed(parts)), tuple(self._shapes[key]))

    def _ways(self, start: int) -> dict[int, tuple[int, str]]:
        """The nodes that one leads to, nearest first: for each the node before it, and the edge."""
        ways = {start: (start, "")}
        waiting = deque([(start, 0)])
        while waiting:
            node, depth = waiting.popleft()
            if depth == _MAX_DEPTH:
                continue
            for name, child in self._children[node].items():
                if child in ways or child in self._slots or _OPTIMIZER.fullmatch(name):
                    continue
                ways[child] = node, name
                waiting.append((child, depth + 1))
        return ways
