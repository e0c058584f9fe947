"""SavedModels and modules of TensorFlow Hub: what they say of the model beside its variables.

A folder holds ``saved_model.pb`` (graphs, signatures, objects), ``variables/`` (an ordinary
checkpoint, which ``google.py`` reads), ``assets/`` (the vocabulary) and perhaps
``keras_metadata.pb``. Modules of TensorFlow 1's time have a ``tfhub_module.pb`` besides. All of it
is read as data: no graph is loaded and no function called.

What a configuration says elsewhere is found in three places: Keras' description of its layers, the
operations of the graph (which gelu it is, heads, the layers of an ALBERT), and the signatures.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from kerasbert.checkpoints.errors import CheckpointFormatError, refuse_lfs_pointer
from kerasbert.checkpoints.google import GoogleCheckpoint
from kerasbert.checkpoints.object_graph import ObjectGraph
from kerasbert.checkpoints.saved_model_layers import activation_of, described, settings_of

logger = logging.getLogger(__name__)

FILE = "saved_model.pb"
_MAX_BYTES = 512_000_000  # more is no graph but has weights written into it

# A graph's constant with the number of heads, or with their size.
_HEADS = re.compile(r"(.*/attention/self/Reshape(?:_\d+)?/shape)/([23])", re.DOTALL)
_ALBERT_LAYER = re.compile(r"(?:.*/)?transformer/group_\d+(?:_\d+)?/layer_(\d+)/.*", re.DOTALL)
# Operations of activations: the exact gelu has one of its own; the pooler's tanh is no block's.
_ACTIVATIONS = {"Erf": "gelu_erf", "Erfc": "gelu_erf", "Tanh": "gelu_tanh", "Relu": "relu"}
_OF_BLOCK = re.compile(r".*(intermediate|gelu|activation).*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class SavedModelFacts:
    """What a SavedModel says of a BERT-like model.

    Attributes:
        config: settings under the names of ``bert_config.json``, as far as they are known.
        class_name: of the encoder in Keras' description, such as ``Text>BertEncoder``.
        pre_norm: whether blocks are said to normalise their inputs.
        do_lower_case: whether the vocabulary is one of lower case; None where nothing says so.
        vocab_path: the vocabulary among the assets; None where it is not there.
    """

    config: dict[str, Any] = field(default_factory=dict)
    class_name: str = ""
    pre_norm: bool = False
    do_lower_case: bool | None = None
    vocab_path: Path | None = None


def is_saved_model(folder: Path) -> bool:
    """Whether a folder is a SavedModel with variables, or a module of TensorFlow Hub."""
    return (folder / FILE).is_file() and (folder / "variables" / "variables.index").is_file()


def folder_of(prefix: str | Path) -> Path | None:
    """The SavedModel whose variables a prefix names; None where it is another checkpoint's."""
    prefix = Path(prefix)
    folder = prefix.parent.parent
    inside = prefix.name == "variables" and prefix.parent.name == "variables"
    return folder if inside and is_saved_model(folder) else None


def describe(folder: str | Path, hidden_size: int | None = None) -> SavedModelFacts:
    """Reads what a SavedModel says of its model.

    Args:
        folder: the one with ``saved_model.pb``.
        hidden_size: width of the model, by which the number of heads is known in a graph of
            TensorFlow 1.

    Raises:
        CheckpointFormatError: ``saved_model.pb`` is damaged, or a Git LFS pointer.
    """
    folder = Path(folder)
    graph = _read(folder / FILE)
    if graph is None:
        return SavedModelFacts(vocab_path=_vocabulary(folder))
    class_name, layers = described(folder, graph)
    config = settings_of(layers)
    hidden_size = hidden_size or config.get("hidden_size")
    operations = _Operations(graph, hidden_size)
    if operations.num_heads:
        config.setdefault("num_attention_heads", operations.num_heads)
    depth = operations.num_layers or _layers_in_outputs(graph, hidden_size)
    if depth:
        config.setdefault("num_hidden_layers", depth)
    activation = operations.activation or activation_of(layers)
    if activation:
        config["hidden_act"] = activation
    return SavedModelFacts(
        config=config,
        class_name=class_name,
        pre_norm=layers.get("norm_first") is True,
        do_lower_case=_lower_case(folder, graph),
        vocab_path=_vocabulary(folder),
    )


def _read(path: Path):
    """The graph without training of a ``saved_model.pb``; None where it is too large to be one."""
    refuse_lfs_pointer(path)
    if path.stat().st_size > _MAX_BYTES:
        logger.warning("%s is too large for a graph, and is not read", path)
        return None
    message = saved_model_pb2.SavedModel()
    try:
        message.ParseFromString(path.read_bytes())
        if not message.meta_graphs:
            raise DecodeError("it holds no graph")
    except DecodeError as error:
        raise CheckpointFormatError(
            f"{path} is not a SavedModel's, or is damaged: {error}. Download it again."
        ) from error
    return min(message.meta_graphs, key=lambda graph: "train" in graph.meta_info_def.tags)


# ---- what the graphs compute --------------------------------------------------------------------


class _Operations:
    """What the operations of a graph and of its functions show.

    Attributes:
        activation: of the feed-forward networks, or None.
        num_heads: of every block, of a BERT as in TensorFlow 1's code. (ALBERT's splits heads by an
            einsum, whose axes are in no order that is known.)
        num_layers: of an ALBERT as in TensorFlow 1's code.
    """

    def __init__(self, graph, hidden_size: int | None):
        kinds = set()
        parts: dict[str, dict[str, int]] = {}  # sizes by the axes that they are of
        depth = 0
        for node in self._nodes(graph):
            if node.op in _ACTIVATIONS and _OF_BLOCK.match(node.name):
                kinds.add(node.op)
            if node.op == "Const" and (match := _HEADS.fullmatch(node.name)):
                values = node.attr["value"].tensor.int_val
                if len(values) == 1:
                    parts.setdefault(match[1], {})[match[2]] = values[0]
            if match := _ALBERT_LAYER.fullmatch(node.name):
                depth = max(depth, int(match[1]) + 1) if len(match[1]) < 5 else depth
        found = (name for kind, name in _ACTIVATIONS.items() if kind in kinds)
        self.activation = next(found, None)
        pairs = [(part["2"], part["3"]) for part in parts.values() if len(part) == 2]
        heads = {number for number, size in pairs if number * size == hidden_size}
        self.num_heads = heads.pop() if len(heads) == 1 else None
        self.num_layers = depth or None

    @staticmethod
    def _nodes(graph) -> Iterator[Any]:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield from function.node_def


def _layers_in_outputs(graph, hidden_size: int | None) -> int | None:
    """The number of layers, where a signature hands out the hidden states of each.

    They come with the last ones once more. Modules with the hidden states of the last layer only
    say nothing.
    """
    for name, signature in graph.signature_def.items():
        outputs = signature.outputs.values()
        shapes = [[axis.size for axis in info.tensor_shape.dim] for info in outputs]
        states = [shape for shape in shapes if len(shape) == 3 and shape[-1] == hidden_size]
        if name == "serving_default" and len(states) > 1:
            return len(states) - 1
    return None


# ---- the vocabulary -----------------------------------------------------------------------------


def _vocabulary(folder: Path) -> Path | None:
    assets = folder / "assets"
    files = sorted(path for path in assets.iterdir() if path.is_file()) if assets.is_dir() else []
    models = [path for path in files if path.suffix == ".model"]
    texts = [path for path in files if path.suffix == ".txt"]
    found = models or [path for path in texts if "vocab" in path.name] or texts
    return found[0] if len(found) == 1 else None


def _lower_case(folder: Path, graph) -> bool | None:
    """What the module says: a constant of its signature, or a variable of TensorFlow 2's export."""
    signature = graph.signature_def.get("tokenization_info") if graph.signature_def else None
    if signature is not None and "do_lower_case" in signature.outputs:
        name = signature.outputs["do_lower_case"].name.rsplit(":", 1)[0]
        for node in graph.graph_def.node:
            values = node.attr["value"].tensor.bool_val if node.name == name else ()
            if node.op == "Const" and len(values) == 1:
                return bool(values[0])
    checkpoint = GoogleCheckpoint(folder / "variables" / "variables")
    if not checkpoint.is_object_graph:
        return None
    objects = ObjectGraph.read(checkpoint)
    node = objects.find("do_lower_case")
    variable = None if node is None else objects.variable(node)
    if variable is None or variable.shape or not checkpoint.dtypes[variable.key].is_bool:
        return None
    return bool(checkpoint.read([variable.key])[variable.key].numpy())
