"""ELECTRA against recorded outputs of Google's code, bert4keras and Hugging Face; its releases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints import google
from tests import huggingface_cases
from tests.golden_cases import (
    Case,
    compare_bert4keras,
    distance,
    find_cases,
)
from tests.published import entries

SIZES = {
    "vocab_size": 50,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
TINY = [
    {"model": "electra", **SIZES, "with_pool": True, "with_discriminator": True},
    {"model": "electra_generator", **SIZES, "with_pool": True, "with_mlm": True},
    {"model": "electra", **SIZES, "electra_role": "generator", "application": "unilm"},
]

ROLES = {"discriminator": "electra", "generator": "electra_generator"}


def golden_cases() -> list[Case]:
    """The recorded cases of this family."""
    return [*find_cases(("electra",)), *huggingface_cases.find("electra_*")]


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    compared = {"google": _compare_google, "huggingface": _compare_huggingface}
    return compared.get(case.kind, compare_bert4keras)(case, **options)


def _hidden_states(model: keras.Model, inputs: list[np.ndarray]) -> list:
    """What enters block 0, and each block's output."""
    names = [layer.name for layer in model.layers]
    entry = "Embedding-Mapping" if "Embedding-Mapping" in names else "Embedding-Dropout"
    taps = [entry, *(name for name in names if name.endswith("-FeedForward-Norm"))]
    return keras.Model(model.inputs, [model.get_layer(name).output for name in taps])(inputs)


def _compare_google(case: Case, **options) -> float:
    """Every layer and every head of both networks against Google's own graph."""
    arrays, path = np.load(case.arrays), case.folder  # the folder: each role finds its own json
    assert json.loads(case.record.read_text())["gelu"] == "erf"

    def build(role, **heads):
        return build_transformer_model(path, model=ROLES[role], **heads, **options)

    worst = 0.0
    for role, ids in (("discriminator", "discriminator_input_ids"), ("generator", "input_ids")):
        inputs = [arrays[ids], arrays["segment_ids"]]
        hidden = _hidden_states(build(role), inputs)
        recorded = [arrays[f"{role}_embedding_output"]]
        recorded += [arrays[f"{role}_encoder_layer_{i}"] for i in range(len(hidden) - 1)]
        worst = max(worst, *map(distance, hidden, recorded))
        if role == "generator":
            mlm = np.asarray(build(role, with_mlm="linear")(inputs))
            mlm = np.take_along_axis(mlm, arrays["masked_lm_positions"][:, :, None], axis=1)
            worst = max(worst, distance(mlm, arrays["generator_mlm_logits"]))
            continue
        for activation, name in (("linear", "logits"), (True, "probs")):
            heads = build(role, with_pool=True, with_discriminator=activation)
            pooled, replaced = heads(inputs)
            worst = max(
                worst,
                distance(pooled, arrays["discriminator_pooled_output"]),
                distance(np.asarray(replaced)[..., 0], arrays[f"discriminator_{name}"]),
            )
    return worst


def _compare_huggingface(case: Case, **options) -> float:
    """Every layer and the pretraining head against Hugging Face's outputs."""

    def build(**heads):  # the family and the role show in the files
        return build_transformer_model(case.folder, **heads, **options)

    arrays = np.load(case.arrays)
    worst = 0.0
    for name in ("pad", "full"):
        if f"in.{name}.input_ids" not in arrays.files:
            continue
        ids = arrays[f"in.{name}.input_ids"]
        segments = arrays[f"in.{name}.token_type_ids"] if name == "pad" else np.zeros_like(ids)
        hidden, recorded = (
            _hidden_states(build(), [ids, segments]),
            arrays[f"out.{name}.hidden_states"],
        )
        assert len(hidden) == len(recorded)
        worst = max(worst, *map(distance, hidden, recorded))
        for head, logits in (("with_discriminator", "rtd_logits"), ("with_mlm", "mlm_logits")):
            if f"out.{name}.{logits}" in arrays.files:
                theirs = arrays[f"out.{name}.{logits}"]
                ours = np.asarray(build(**{head: "linear"})([ids, segments]))
                worst = max(worst, distance(ours.reshape(theirs.shape), theirs))
    return worst


# Every size of the releases in small. The widths stay such that their heads are known (Google's
# archives hold no json), and that the json's heads divide them.
SMALL = {
    21128: 41, 30522: 41, 512: 11, 4096: 80, 3072: 80, 1024: 192, 768: 192, 256: 64, 192: 48,
    128: 32, 64: 16,
}  # fmt: skip


def published() -> list[dict]:
    """The released checkpoints of this family whose variables are recorded."""
    # CLUE's are not: tests/test_electra.py takes its json.
    tensorflow = entries(("google_electra", "hfl_electra", "clue_electra"), ("tensorflow1",))
    found = [*tensorflow, *entries(("google_electra_hf",), ("pytorch_hf",))]
    return [entry for entry in found if entry.get("variables")]


def shrink(config: dict | None) -> dict | None:
    """A configuration with every size made small."""
    sizes = ("vocab_size", "hidden_size", "embedding_size", "intermediate_size",
             "max_position_embeddings")  # fmt: skip
    return config and {k: SMALL[v] if k in sizes else v for k, v in config.items()}


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads all networks and heads that it has strictly."""
    rng = np.random.default_rng(0)
    tensors = {
        variable["name"]: tf.cast(
            rng.standard_normal([SMALL.get(size, size) for size in variable["shape"]]),
            variable["dtype"],
        )
        for variable in entry["variables"]
    }
    if entry["framework"] == "pytorch_hf":
        head = "with_mlm" if "generator_lm_head.bias" in tensors else "with_discriminator"
        arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        huggingface_cases.write(folder, shrink(entry["config"]), arrays)
        return build_transformer_model(folder, **{head: True})
    google.write(folder / Path(entry["archive"]["files"][0]).stem, tensors)
    for name, config in (
        ("discriminator", entry["config"]),
        ("generator", entry.get("generator_config")),
    ):
        if config:
            (folder / f"{name}.json").write_text(json.dumps(shrink(config)))
    build_transformer_model(folder, model="electra_generator", with_mlm=True)
    return build_transformer_model(folder, with_pool=True, with_discriminator=True)
