"""Model Garden's checkpoints for tests: recorded ones, and tiny ones of TensorFlow alone."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerasbert.backend import tf
from kerasbert.checkpoints.google import GoogleCheckpoint
from tests import tiny

FOLDER = Path(__file__).parent / "model_garden"
CONFIG = {**tiny.CONFIG, "hidden_size": 8, "intermediate_size": 12, "vocab_size": 20,
          "num_attention_heads": 2}  # fmt: skip
ALBERT = {**CONFIG, "embedding_size": 4, "num_hidden_layers": 1}

_EMBEDDINGS = {
    "bert/embeddings/word_embeddings": "word_embeddings/embeddings",
    "bert/embeddings/token_type_embeddings": "type_embeddings/embeddings",
    "bert/embeddings/position_embeddings": "position_embedding/embeddings",
    "bert/embeddings/LayerNorm": "embeddings/layer_norm",
    "bert/encoder/embedding_hidden_mapping_in": "embedding_projection",
    "bert/pooler/dense": "pooler_transform",
    "cls/predictions/output_bias": "cls/predictions/output_bias/bias",
    "cls/seq_relationship/output_weights": "predictions/transform/logits/kernel",
    "cls/seq_relationship/output_bias": "predictions/transform/logits/bias",
}
_FIRST_EMBEDDINGS = {
    **_EMBEDDINGS,
    "bert/embeddings/token_type_embeddings": "embedding_postprocessor/type_embeddings",
    "bert/embeddings/position_embeddings": "embedding_postprocessor/position_embeddings",
    "bert/embeddings/LayerNorm": "embedding_postprocessor/layer_norm",
    "bert/encoder/embedding_hidden_mapping_in": (
        "embedding_postprocessor/embedding_hidden_mapping_in"
    ),
}
_BLOCK = {
    "attention/self/": "self_attention/",
    "attention/output/dense": "self_attention/attention_output",
    "attention/output/LayerNorm": "self_attention_layer_norm",
    "intermediate/dense": "intermediate",
    "output/dense": "output",
    "output/LayerNorm": "output_layer_norm",
}
_FIRST_BLOCK = {**_BLOCK, "attention/output/dense": "self_attention_output"}
# How Google's names become those of a generation: embeddings and heads, a block's parts, a block,
# the block of an ALBERT, what stands in front of the body's names.
GENERATIONS = {
    "2019": (
        *(_FIRST_EMBEDDINGS, _FIRST_BLOCK),
        *("encoder/layer_", "encoder/shared_layer", "bert_model/"),
    ),
    "2020": (_EMBEDDINGS, _FIRST_BLOCK, "transformer/layer_", "transformer", ""),
    "2021": (_EMBEDDINGS, _BLOCK, "transformer/layer_", "transformer", ""),
    "2022": (_EMBEDDINGS, _BLOCK, "transformer/layer_", "transformer", "bert_encoder_v2/"),
}


def garden_name(name: str, generation: str, shared: bool = False) -> str:
    """A Google name as a generation of Model Garden has it.

    Args:
        name: of a BERT; the blocks of an ALBERT are given as BERT's first one.
        generation: a key of ``GENERATIONS``.
        shared: whether the block is an ALBERT's.
    """
    embeddings, parts, block, shared_block, root = GENERATIONS[generation]
    match = re.fullmatch(r"bert/encoder/layer_(\d+)/(.*)", name)
    if match:
        part = next(match[2].replace(a, b, 1) for a, b in parts.items() if match[2].startswith(a))
        return f"{root}{shared_block if shared else block + match[1]}/{part}"
    for ours, theirs in embeddings.items():
        if name == ours or name.startswith(f"{ours}/"):
            return (root if name.startswith("bert/") else "") + theirs + name[len(ours) :]
    return name  # the head of masked words


def garden_value(name: str, value: np.ndarray, heads: int) -> np.ndarray:
    """The value of a Google name as Model Garden stores it."""
    hidden = value.shape[-1]
    if re.search("/self/(query|key|value)/kernel", name):
        return value.reshape(value.shape[0], heads, hidden // heads)
    if re.search("/self/(query|key|value)/bias", name):
        return value.reshape(heads, hidden // heads)
    if name.endswith("attention/output/dense/kernel"):
        return value.reshape(heads, value.shape[0] // heads, hidden)
    return value.T if name == "cls/seq_relationship/output_weights" else value


def garden_tensors(
    config: Mapping = CONFIG, generation: str = "2021", shared: bool = False, heads: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A tiny model's values under Google's names, and the same under Model Garden's.

    Args:
        config: its sizes.
        generation: a key of ``GENERATIONS``.
        shared: whether it is an ALBERT.
        heads: whether it has those of pretraining.
    """
    google = tiny.bert_tensors(dict(config))
    if not heads:
        google = {name: value for name, value in google.items() if not name.startswith("cls/")}
    number = config["num_attention_heads"]
    garden = {
        garden_name(name, generation, shared): garden_value(name, value, number)
        for name, value in google.items()
    }
    if shared:
        google = {_in_group(name): value for name, value in google.items()}
    return google, garden


def _in_group(name: str) -> str:
    group = "bert/encoder/transformer/group_0/inner_group_0"
    for ours, theirs in {
        "attention/self": "attention_1/self",
        "attention/output/dense": "attention_1/output/dense",
        "attention/output/LayerNorm": "LayerNorm",
        "intermediate/dense": "ffn_1/intermediate/dense",
        "output/dense": "ffn_1/intermediate/output/dense",
        "output/LayerNorm": "LayerNorm_1",
    }.items():
        start = f"bert/encoder/layer_0/{ours}"
        if name.startswith(start):
            return f"{group}/{theirs}{name[len(start) :]}"
    return name


def write_objects(prefix: Path, variables: Mapping[str, np.ndarray], **trees) -> GoogleCheckpoint:
    """Writes an object checkpoint, and opens it.

    Args:
        prefix: of the files.
        variables: values by the names that variables have in the program; they become the items
            of a list, as in a SavedModel.
        **trees: further objects.
    """
    items = [tf.Variable(value, name=name) for name, value in variables.items()]
    module = tf.Module()
    module.items = items
    path = tf.train.Checkpoint(model=module, **trees).write(str(prefix))
    return GoogleCheckpoint(path)


@functools.cache
def outputs(case: str) -> dict[str, np.ndarray]:
    """What Model Garden computes in a recorded case, with its inputs."""
    if case == "module_bert":
        with np.load(FOLDER / "module_outputs.npz") as arrays:
            return dict(arrays)
    with np.load(FOLDER / "outputs.npz") as arrays:
        found = {name: arrays[name] for name in arrays}
    wanted = ("inputs/", f"{case}/")
    return {name.split("/")[1]: value for name, value in found.items() if name.startswith(wanted)}
