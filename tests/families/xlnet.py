"""XLNet against recorded outputs of Google's code and Hugging Face's; its published releases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints import google
from tests import huggingface_cases
from tests.golden_cases import Case, distance, find_cases
from tests.published import entries

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
TINY = [
    {"model": "xlnet", **SIZES, "with_pool": True, "with_mlm": True, "attention_head_size": 5},
    {"model": "xlnet", **SIZES, "application": "lm", "memory_length": 3},
    {"model": "xlnet", **SIZES, "application": "permutation", "untie_r": False, "clamp_len": 4},
]


def golden_cases() -> list[Case]:
    """The recorded cases of this family."""
    return [*find_cases(("xlnet",)), *huggingface_cases.find("xlnet_*")]


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    compared = {"google": _compare_google, "huggingface": _compare_huggingface}
    return compared[case.kind](case, **options)


def run(case: Case, given: dict[str, np.ndarray], heads: dict, **options) -> tuple[list, list]:
    """A model's outputs: first the last hidden states and those of heads, then the memories.

    Args:
        case: whose checkpoint is loaded.
        given: arrays by the name of the input; a memory of length 0 where none is given.
        heads: options that say which outputs there are.
        **options: others of ``build_transformer_model``.
    """
    model = build_transformer_model(case.folder, memory_length=99, **heads, **options)
    ids = given["Input-Token"]
    shape = model.get_layer("Input-Memory").output.shape
    empty = {
        "Input-Segment": np.zeros_like(ids),
        "Input-Mask": np.ones_like(ids),
        "Input-Memory": np.zeros((len(ids), shape[1], 0, shape[3]), "float32"),
    }
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.InputLayer)]
    feed = {name: given.get(name, empty.get(name)) for name in names}
    feed = [feed[tensor.name.split(":")[0]] for tensor in model.inputs]
    hidden = model.get_layer("Output-Dropout").output
    *outputs, memory = keras.Model(model.inputs, [hidden, *model.outputs])(feed)
    return outputs, list(np.moveaxis(np.asarray(memory), 1, 0))


def _compare_google(case: Case, **options) -> float:
    """Hidden states or queries, memories, and the head of the case."""
    values, arrays = json.loads(case.record.read_text()), np.load(case.arrays)
    assert values["gelu"] == "tanh"
    given = {"Input-Token": arrays["input_ids"], "Input-Segment": arrays["segment_ids"]}
    if "perm_mask" in arrays.files:
        given["Input-Permutation-Mask"] = arrays["perm_mask"].astype("int32")
        given["Input-Target-Mapping"] = arrays["target_mapping"].astype("int32")
        heads = {"application": "permutation", "with_mlm": "linear"}
        recorded = ["query_stream_output", "lm_logits"]
    else:
        given["Input-Mask"] = 1 - arrays["input_mask_1_is_padding"].astype("int32")
        heads, recorded = {"with_pool": True}, ["sequence_output", "summary_last"]
    if "mems" in arrays.files:
        given["Input-Memory"] = np.moveaxis(arrays["mems"], 0, 1)
    run_config = values["run_config"]
    options = {"clamp_len": run_config["clamp_len"], **options}
    outputs, memories = run(case, given, heads, with_attention_mask=True, **options)
    outputs += [memory[:, -run_config["mem_len"] :] for memory in memories]
    recorded += [f"new_mem_{i}" for i in range(len(memories))]
    assert len(outputs) == len(recorded)
    return max(distance(ours, arrays[name]) for ours, name in zip(outputs, recorded))


def _compare_huggingface(case: Case, **options) -> float:
    """Hidden states, memories and head for each set of inputs."""
    arrays = np.load(case.arrays)
    sets = [name for name in ("pad", "plain", "perm") if f"in.{name}.input_ids" in arrays.files]
    return max(_compare_set(case, arrays, name, options) for name in sets)


def _compare_set(case: Case, arrays, name: str, options: dict) -> float:
    names = {
        "Input-Token": "input_ids",
        "Input-Segment": "token_type_ids",
        "Input-Mask": "attention_mask",
        "Input-Permutation-Mask": "perm_mask",
        "Input-Target-Mapping": "target_mapping",
    }
    given = {
        ours: arrays[f"in.{name}.{theirs}"].astype("int32")
        for ours, theirs in names.items()
        if f"in.{name}.{theirs}" in arrays.files
    }
    classifier = "out.pad.logits" in arrays.files
    heads = {"with_pool": True} if classifier else {"with_mlm": "linear"}
    if name == "perm":
        heads["application"] = "permutation"
    pairs = []
    for masked in ({"with_attention_mask": True}, {}):  # padding is known by its id as well
        (hidden, head), memories = run(case, given, heads, **masked, **options)
        pairs += zip(memories, np.swapaxes(arrays[f"out.{name}.mems"], 1, 2))
        if name == "perm":
            pairs.append((hidden, arrays[f"out.perm.hidden_states.{2 * len(memories) + 1}"]))
        else:
            states = arrays[f"out.{name}.hidden_states"]
            assert len(states) == len(memories) + 1
            pairs += zip([*memories, hidden], states)
        if classifier:
            tensors = load_file(case.folder / "model.safetensors")
            head = head @ tensors["logits_proj.weight"].T + tensors["logits_proj.bias"]
        pairs.append((head, arrays[f"out.{name}.{'logits' if classifier else 'lm_logits'}"]))
    worst = max(distance(ours, theirs) for ours, theirs in pairs)
    if name != "plain" or "out.mems.mems_first" not in arrays.files:
        return worst
    ids = given["Input-Token"]
    half = arrays["out.mems.logits_first"].shape[1]
    (_, first), memories = run(case, {"Input-Token": ids[:, :half]}, heads, **options)
    kept = np.stack(memories, axis=1)
    second = run(case, {"Input-Token": ids[:, half:], "Input-Memory": kept}, heads, **options)[0][1]
    return max(
        worst,
        distance(first, arrays["out.mems.logits_first"]),
        distance(np.moveaxis(kept, 1, 0), np.swapaxes(arrays["out.mems.mems_first"], 1, 2)),
        distance(second, arrays["out.mems.logits_second"]),
    )


# Every size of the releases in small; the heads stay as many as they are.
SMALL = {32000: 41, 4096: 26, 3072: 23, 1024: 14, 768: 10, 64: 3}


def published() -> list[dict]:
    """The released checkpoints of this family."""
    return entries(("google_xlnet", "hfl_xlnet"), ("tensorflow1",))


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly: the language model uses every tensor."""
    rng = np.random.default_rng(0)
    tensors = {
        variable["name"]: tf.cast(
            rng.standard_normal([SMALL.get(size, size) for size in variable["shape"]]),
            variable["dtype"],
        )
        for variable in entry["variables"]
    }
    google.write(folder / "xlnet_model.ckpt", tensors)
    sizes = ("d_head", "d_inner", "d_model", "n_token")
    config = {k: SMALL[v] if k in sizes else v for k, v in entry["config"].items()}
    (folder / "xlnet_config.json").write_text(json.dumps(config))
    return build_transformer_model(folder, application="lm")
