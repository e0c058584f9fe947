"""ALBERT and albert_zh against recorded outputs of Google's, brightmart's, bert4keras' and Hugging
Face's code, and their published releases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints import google
from kerasbert.checkpoints.loading import open_tensors
from kerasbert.checkpoints.source import find_checkpoint
from tests import huggingface_cases
from tests.golden_cases import (
    Case,
    checkpoint_of,
    compare_bert4keras,
    distance,
    find_cases,
)
from tests.published import entries

SIZES = {
    "vocab_size": 50,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
TINY = [
    {"model": "albert", **SIZES, "with_sop": True, "with_mlm": True},
    {"model": "albert", **SIZES, "application": "unilm",
     "num_hidden_groups": 2, "inner_group_num": 2},
    {"model": "albert_unshared", **SIZES, "application": "lm"},
    {"model": "albert_zh", **SIZES, "with_pool": True, "with_mlm": True, "ln_type": "preln"},
]  # fmt: skip


def golden_cases() -> list[Case]:
    """The recorded cases of this family."""
    families = ("albert", "albert_unshared", "albert_zh", "albert_zh_google")
    return [*find_cases(families), *huggingface_cases.find("albert_*")]


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    compared = {"google": _compare_google, "huggingface": _compare_huggingface}
    return compared.get(case.kind, compare_bert4keras)(case, **options)


def hidden_states(build, depth: int, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What enters the first layer, and each layer's output.

    Layers are calls of the same blocks, so each is seen at the end of a shorter model.
    """
    model = build(num_hidden_layers=1)
    names = [layer.name for layer in model.layers]
    entry = "Embedding-Mapping" if "Embedding-Mapping" in names else "Embedding-Dropout"
    entry = keras.Model(model.inputs, model.get_layer(entry).output)
    models = [entry, *(build(num_hidden_layers=count + 1) for count in range(depth))]
    return [np.asarray(model(inputs)) for model in models]


def _compare_google(case: Case, **options) -> float:
    """Every layer, the pooled vector and both heads against the original graph."""
    values, arrays = json.loads(case.record.read_text()), np.load(case.arrays)
    assert values["gelu"] == "tanh"  # what "gelu" means in this family

    def build(**more):  # family and naming show in the files
        return build_transformer_model(checkpoint=checkpoint_of(case), **more, **options)

    inputs = [arrays["input_ids"], arrays["segment_ids"]]
    depth = values["config"]["num_hidden_layers"]
    states = hidden_states(build, depth, inputs)
    recorded = [arrays[f"encoder_layer_{i}"] for i in range(depth)]
    worst = max(distance(ours, theirs) for ours, theirs in zip(states[1:], recorded))
    if "embedding_projected" in arrays.files:
        worst = max(worst, distance(states[0], arrays["embedding_projected"]))
    sop, mlm = build(with_sop="linear", with_mlm="linear")(inputs)
    mlm = np.take_along_axis(np.asarray(mlm), arrays["masked_lm_positions"][:, :, None], axis=1)
    return max(
        worst,
        distance(build(with_pool=True)(inputs), arrays["pooled_output"]),
        distance(tf.nn.log_softmax(sop), arrays["sop_log_probs"]),
        distance(mlm.reshape(arrays["mlm_logits"].shape), arrays["mlm_logits"]),
    )


def _compare_huggingface(case: Case, **options) -> float:
    """Every layer and every head against Hugging Face's outputs."""

    def build(**more):
        return build_transformer_model(case.folder, with_attention_mask=True, **more, **options)

    arrays = np.load(case.arrays)
    worst = 0.0
    for name in ("pad", "full"):
        if f"in.{name}.input_ids" not in arrays.files:
            continue
        ids = arrays[f"in.{name}.input_ids"]
        segments = arrays[f"in.{name}.token_type_ids"] if name == "pad" else np.zeros_like(ids)
        mask = arrays[f"in.{name}.attention_mask"] if name == "pad" else np.ones_like(ids)
        inputs = [ids, segments, mask]
        recorded = arrays[f"out.{name}.hidden_states"]
        states = hidden_states(build, len(recorded) - 1, inputs)
        worst = max(worst, *map(distance, states, recorded))
        outputs = {key.split(".")[-1]: arrays[key] for key in arrays.files if f"out.{name}" in key}
        if "sop_logits" in outputs:
            sop, mlm = build(with_sop="linear", with_mlm="linear")(inputs)
            worst = max(worst, distance(sop, outputs["sop_logits"]))
            worst = max(worst, distance(mlm, outputs["mlm_logits"]))
            continue
        pooled = np.asarray(build(with_pool=True)(inputs))
        if "pooler_output" in outputs:
            worst = max(worst, distance(pooled, outputs["pooler_output"]))
        else:  # a classifier: its last layer is the user's own
            source = open_tensors(find_checkpoint(case.folder))
            head = source.read(["classifier.weight", "classifier.bias"])
            logits = pooled @ head["classifier.weight"].numpy().T + head["classifier.bias"].numpy()
            worst = max(worst, distance(logits, outputs["logits"]))
    return worst


# Every size of the releases in small; the json's numbers of heads divide the widths.
SMALL = {
    21128: 41, 30000: 43, 512: 11, 128: 8, 312: 12, 384: 24, 768: 36, 1024: 48, 2048: 32, 4096: 64,
    1248: 15, 1536: 17, 3072: 19, 8192: 21, 16384: 23,
}  # fmt: skip


def published() -> list[dict]:
    """The released checkpoints of this family."""
    tensorflow = entries(("google_albert", "albert_zh", "bojone_albert_zh"), ("tensorflow1",))
    hub = entries(("google_albert_tfhub",), ("tensorflow1_saved_model",))
    base = [entry for entry in tensorflow if entry["name"] == "albert_base_v2"]
    # Of the TF-Hub exports only the rule is recorded: Google's names behind "module/".
    hub = [{**base[0], **entry, "config": base[0]["config"]} for entry in hub]
    return [*tensorflow, *hub, *entries(("google_albert_hf",), ("pytorch_hf",))]


def shrink(entry: dict) -> tuple[dict, dict[str, tf.Tensor]]:
    """The entry's configuration and tensors with every size made small."""
    sizes = ("vocab_size", "hidden_size", "embedding_size", "intermediate_size",
             "max_position_embeddings")  # fmt: skip
    config = {k: SMALL[v] if k in sizes else v for k, v in entry["config"].items()}
    rng = np.random.default_rng(0)
    tensors = {
        variable["name"]: tf.cast(
            rng.standard_normal([SMALL.get(size, size) for size in variable["shape"]]),
            variable["dtype"],
        )
        for variable in entry["variables"]
    }
    return config, tensors


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly, with all heads that it has."""
    config, tensors = shrink(entry)
    folder = folder / "release"
    folder.mkdir()
    if entry["framework"] == "pytorch_hf":
        arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        huggingface_cases.write(folder, config, arrays)
    elif entry["framework"] == "tensorflow1_saved_model":
        tensors = {f"module/{name}": tensor for name, tensor in tensors.items()}
        google.write(folder / "variables" / "variables", tensors)
        (folder / "assets").mkdir()
        (folder / "assets" / "albert_config.json").write_text(json.dumps(config))
        (folder / "saved_model.pb").write_bytes(b"\x12\x00")  # one graph, and empty
    else:
        google.write(folder / "albert_model.ckpt", tensors)
        (folder / "albert_config.json").write_text(json.dumps(config))
    heads = {
        "with_pool": any("pooler" in name for name in tensors),
        "with_sop": any("seq_relationship" in name for name in tensors),
        "with_mlm": any("predictions" in name for name in tensors),
    }
    return build_transformer_model(folder, **{name: True for name, has in heads.items() if has})
