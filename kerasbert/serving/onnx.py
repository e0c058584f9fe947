"""ONNX files of models: token ids in, for ONNX Runtime and whatever else reads the format."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasbert.backend import keras, tf
from kerasbert.serving.signatures import SEGMENT_IDS, TOKEN_IDS, feeder
from kerasbert.tokenizers.vocabulary import write_whole

logger = logging.getLogger("kerasbert")

_MOST_BYTES = 2**31 - 2**20  # of a protocol buffer, and room for the graph


def export_onnx(
    model: keras.Model,
    path: str | os.PathLike,
    output: str | None = None,
    *,
    pooling: Any = "pooler",
    normalize: bool = True,
    opset: int = 17,
) -> str:
    """Writes a model as an ONNX file.

    Inputs: ``token_ids`` and, for models that read them, ``segment_ids``, int32 (batch, length) of
    any sizes. Needs tf2onnx (``pip install 'kerasbert[onnx]'``).

    Args:
        model: with the inputs of ``build_transformer_model``, and weights in float32.
        path: of the file; it is written whole or not at all.
        output: "embedding" for a text's vector; None for the model's own outputs.
        pooling: of "embedding", as :class:`kerasbert.TextEncoder`.
        normalize: of "embedding": whether vectors are scaled to length 1.
        opset: version of ONNX's operators; 13 or newer.

    Returns:
        The path written.

    Raises:
        ImportError: tf2onnx is not installed.
        ValueError: a model that the format or tf2onnx does not take (NEZHA): says why. Nothing is
            written then.
    """
    if output not in (None, "embedding"):
        raise ValueError(f'output must be None or "embedding". Received: {output!r}')
    tf2onnx = _import_tf2onnx()
    if output == "embedding":
        from kerasbert.embedding.pooling import vector_model

        model = vector_model(model, pooling, normalize)
    kinds = {tf.as_dtype(weight.dtype).name for weight in model.weights}
    if kinds - {"float32"}:
        raise ValueError(
            f"the export needs weights in float32, and they are {', '.join(sorted(kinds))}: build "
            'the model with dtype="float32".'
        )
    size = sum(4 * int(np.prod(weight.shape)) for weight in model.weights)
    if size > _MOST_BYTES:
        raise ValueError(
            f"the model has {size / 2**30:.1f} GiB of weights, and an ONNX file of one piece holds "
            "2 GiB."
        )
    feed = feeder(model)
    names = _output_names(model, output)
    has_segments = any("Input-Segment" in tensor.name for tensor in model.inputs)
    specs = [TOKEN_IDS, SEGMENT_IDS] if has_segments else [TOKEN_IDS]

    @tf.function(input_signature=specs)
    def function(token_ids, segment_ids=None):
        found = feed(token_ids, segment_ids)
        return dict(zip(names, tf.nest.flatten(found)))

    with _repaired():
        proto, _ = tf2onnx.convert.from_function(
            function, input_signature=specs, opset=opset, custom_op_handlers={"Erfc": (_erfc, [])}
        )
    _verify(proto, model)
    target = Path(path).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, proto.SerializeToString())
    logger.info("%s: %s", target, ", ".join(names))
    return str(target)


def _verify(proto, model: keras.Model) -> None:
    """Refuses a graph that is not valid: tf2onnx logs what it cannot convert, and goes on."""
    import onnx

    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"tf2onnx cannot convert the model {model.name!r}; it gives a graph that is not valid: "
            f"{reason}. Export it as a SavedModel instead (export_saved_model)."
        ) from error


def _output_names(model: keras.Model, output: str | None) -> list[str]:
    if output == "embedding":
        return ["embeddings"]
    if len(model.outputs) == 1:
        return ["output"]
    return [f"output_{at}" for at in range(len(model.outputs))]


def _import_tf2onnx():
    try:
        import tf2onnx.convert
    except ImportError as error:
        raise ImportError(
            "the export to ONNX needs tf2onnx: run `pip install 'kerasbert[onnx]'`. The import "
            f"said: {error}"
        ) from error
    return tf2onnx


@contextlib.contextmanager
def _repaired() -> Iterator[None]:
    """Leaves out one optimisation of tf2onnx (1.17) that makes wrong graphs of right ones.

    It writes a reshape to (batch, length, heads, size) as one to (0, 0, heads, size), where 0 means
    "as the input has it", and then takes out the reshape before it, so that the input has it
    otherwise: "The input tensor cannot be reshaped to the requested shape".
    """
    from tf2onnx import optimizer

    optimizers = optimizer._get_optimizers()
    before = list(optimizers.items())
    optimizers.pop("reshape_optimizer", None)
    try:
        yield
    finally:
        optimizers.clear()
        optimizers.update(before)


def _erfc(graph, node, name, args) -> None:
    """The complement of the error function, in gelu: ONNX has the function alone."""
    output = node.output[0]
    shape, dtype = graph.get_shape(output), graph.get_dtype(output)
    inputs, outputs = list(node.input), list(node.output)
    graph.remove_node(node.name)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    erf = graph.make_node("Erf", inputs, name=f"{name}_erf")
    graph.make_node(
        "Sub",
        [one.output[0], erf.output[0]],
        outputs=outputs,
        name=name,
        shapes=[shape],
        dtypes=[dtype],
    )
