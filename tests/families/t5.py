"""T5 against recorded outputs of bert4keras and of Hugging Face, and its published releases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints import google
from tests import huggingface_cases
from tests.golden_cases import Case, compare_bert4keras, distance, find_cases
from tests.published import entries

NAMES = tuple(
    f"{version}{part}"
    for version in ("t5", "t5.1.0", "t5.1.1", "mt5.1.1")
    for part in ("", "_encoder", "_decoder")
)
SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "attention_head_size": 6,
    "intermediate_size": 24,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "hidden_dropout_prob": 0.0,
}
ONE_BLOCK = {**SIZES, "num_hidden_layers": 1}
TINY = [
    {"model": "t5.1.0", **SIZES, "num_decoder_layers": 1},
    {"model": "mt5.1.1", **ONE_BLOCK, "with_lm": "linear", "cross_position_bias": True},
    {"model": "t5.1.1_encoder", **ONE_BLOCK},
    {"model": "t5.1.0_decoder", **ONE_BLOCK, "with_lm": False, "with_attention_mask": True},
]


def golden_cases() -> list[Case]:
    """The recorded cases of this family."""
    return [*find_cases(NAMES), *huggingface_cases.find("t5", "t5_v11", "mt5")]


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    if case.kind == "huggingface":
        return _compare_huggingface(case, options)
    built = json.loads(case.record.read_text())["build_kwargs"]
    if "encoder" not in built["model"]:
        options = {**bert4keras_options(built), **options}
    return compare_bert4keras(case, **options)


def bert4keras_options(built: dict) -> dict:
    """What bert4keras does unlike the published graphs, where it was not asked otherwise."""
    found = {"scale_decoder_outputs": True}
    if "cross_position_bias" not in built:
        found["cross_position_bias"] = True
    return found


def hidden_states(model: keras.Model, side: str, depth: int, inputs: list) -> list[np.ndarray]:
    """What enters block 0, what enters each further one, and the normalised output."""
    taps = [f"{side}-Embedding-Dropout"]
    taps += [f"{side}-Transformer-{i}-FeedForward-Add" for i in range(depth - 1)]
    taps.append(f"{side}-Output-Dropout")
    return keras.Model(model.inputs, [model.get_layer(name).output for name in taps])(inputs)


def _compare_huggingface(case: Case, options: dict) -> float:
    """Every layer of both stacks, the logits, and those of each greedy step."""
    arrays = np.load(case.arrays)
    model = build_transformer_model(case.folder, with_lm="linear", **options)
    source, target = arrays["in.pad.input_ids"], arrays["in.pad.decoder_input_ids"]
    worst = distance(model([source, target]), arrays["out.pad.lm_logits"])
    for side in ("Encoder", "Decoder"):
        recorded = arrays[f"out.pad.{side.lower()}_hidden_states"]
        found = hidden_states(model, side, len(recorded) - 1, [source, target])
        worst = max(worst, *map(distance, found, recorded))
    written = arrays["out.greedy.sequences"]
    steps = arrays["out.greedy.logits"]
    logits = np.asarray(model([source, written[:, :-1]]))
    # What follows the end is padding, which is masked here; the beginning is the padding id too.
    real = np.cumprod(written[:, 1:-1] != 0, axis=1).astype(bool)
    real = np.pad(real, ((0, 0), (1, 0)), constant_values=True)
    return max(worst, distance(logits[real], steps[real]))


def published() -> list[dict]:
    """The released checkpoints of this family."""
    return entries(("t5_mtf",), ("tensorflow1_mesh",))


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly; there is no json."""
    rng = np.random.default_rng(0)
    tensors = {}
    for variable in entry["variables"]:
        shape = [41 if size == 32128 else size for size in variable["shape"]]
        tensors[variable["name"]] = tf.cast(rng.standard_normal(shape), variable["dtype"])
    google.write(folder / "model.ckpt-0", tensors)
    return build_transformer_model(folder)
