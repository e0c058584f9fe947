"""Recorded outputs of Hugging Face's models, and published releases under the names used there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from kerasbert import build_transformer_model
from kerasbert.backend import keras
from tests.golden_cases import HERE, SHARED, Case, distance

# Of hidden states; logits are granted 1e-4 there, and need it no more than these do.
ATOL = 2e-5
# Where our layers say what is recorded as hidden states: of the embeddings, of every block.
TAPS = ("Embedding-Dropout", "Transformer-{i}-FeedForward-Norm")
# Heads by the arrays that were recorded of them; all as logits.
HEADS = {"pooler_output": "with_pool", "nsp_logits": "with_nsp", "mlm_logits": "with_mlm"}
INPUTS = {
    "Input-Token": "input_ids",
    "Input-Segment": "token_type_ids",
    "Input-Task": "task_type_ids",
    "Input-Position": "position_ids",
    "Input-Mask": "attention_mask",
}


def find(*names: str) -> list[Case]:
    """The recorded cases of those names or patterns; ``record`` is the file of the weights."""
    found = {}
    for root in (HERE, SHARED):
        for name in names:
            for weights in sorted(root.glob(f"huggingface/hf/{name}/model.safetensors")):
                folder = weights.parent
                case = Case(f"huggingface/{folder.name}", "huggingface", folder, weights,
                            folder / "golden.npz", ATOL)  # fmt: skip
                found.setdefault(folder.name, case)
    return list(found.values())


def recorded_sets(case: Case) -> dict[str, tuple[dict, dict]]:
    """Inputs and outputs by the name of their set; choices are rows of the batch."""
    arrays, sets = np.load(case.arrays), {}
    for key in arrays.files:
        direction, name, field = key.split(".")
        value = arrays[key]
        if direction == "in":
            value = value.reshape(-1, value.shape[-1])
        sets.setdefault(name, ({}, {}))[direction == "out"][field] = value
    return sets


def compare(case: Case, taps: tuple[str, ...] = TAPS, last: str | None = None, **options) -> float:
    """The largest difference of hidden states and heads, at all positions, over all sets.

    Args:
        case: with the weights as its ``record``.
        taps: names of the layers that give the embeddings and block i.
        last: name of the layer that gives the last hidden states, if it is not a block's.
        **options: of ``build_transformer_model``.
    """
    worst = 0.0
    for inputs, outputs in recorded_sets(case).values():
        heads = {HEADS[name]: name for name in outputs if name in HEADS}
        model = build_transformer_model(
            checkpoint=case.record,
            with_attention_mask="attention_mask" in inputs,
            custom_position_ids="position_ids" in inputs,
            **({"custom_task_ids": True} if "task_type_ids" in inputs else {}),
            **{head: "linear" if head != "with_pool" else True for head in heads},
            **options,
        )
        depth = len(outputs["hidden_states"])
        layers = [taps[0], *(taps[1].format(i=i) for i in range(depth - 1))]
        layers[-1] = last or layers[-1]
        tapped = [model.get_layer(name).output for name in layers]
        ids = inputs["input_ids"]
        given = [inputs.get(INPUTS[x.name.split(":")[0]], np.zeros_like(ids)) for x in model.inputs]
        ours = keras.Model(model.inputs, [*tapped, *_as_list(model.output)])(given)
        for i, state in enumerate(outputs["hidden_states"]):
            worst = max(worst, distance(ours[i], state))
        # in the order of the model's outputs
        for value, head in zip(ours[depth:], [h for h in HEADS.values() if h in heads]):
            worst = max(worst, distance(value, outputs[heads[head]]))
    return worst


def _as_list(outputs) -> list:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def shrink(entry: dict, config: dict | None, heads: int) -> tuple[dict, dict[str, np.ndarray]]:
    """A published entry's configuration and tensors with every width made small.

    Args:
        entry: of the published facts.
        config: its configuration in full; None leaves the sizes to be read from the tensors.
        heads: number of attention heads.
    """
    shapes = {variable["name"]: variable["shape"] for variable in entry["variables"]}
    widths = sorted({size for shape in shapes.values() for size in shape if size > 128})
    hidden = next(shape[0] for shape in shapes.values() if len(shape) == 1 and shape[0] % heads == 0
                  and shape[0] // heads >= 64)  # fmt: skip
    small = {hidden: heads * 4, 4 * hidden: 23, 512: 11, 514: 13, 256: 7, 1664: 9}
    small |= {size: 41 for size in widths if size not in small and size != 513}  # the vocabulary
    rng = np.random.default_rng(0)
    tensors = {
        variable["name"]: rng.standard_normal(
            [small.get(size, size) for size in variable["shape"]]
        ).astype(variable["dtype"])
        for variable in entry["variables"]
    }
    if config is None:
        return {"num_attention_heads": heads}, tensors
    sized = ("size", "position_embeddings")
    config = {
        key: small.get(value, value) if isinstance(value, int) and key.endswith(sized) else value
        for key, value in config.items()
    }
    return config, tensors


def write(folder: Path, config: Mapping, tensors: Mapping[str, np.ndarray]) -> Path:
    """A folder as it is published on the hub."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder
