"""BERT against recorded outputs of Google's code and of bert4keras, and its published releases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints import google
from tests.golden_cases import (
    Case,
    checkpoint_of,
    compare_bert4keras,
    distance,
    find_cases,
    gelu_option,
)
from tests.published import entries

PUBLISHED = (
    "google_bert", "google_bert_24small", "hfl_bert_wwm", "hfl_macbert", "hfl_lert", "hfl_pert",
    "bert_domain", "zhuiyi_simbert", "zhuiyi_roberta_small", "zhuiyi_wobert", "labse", "roberta_zh",
)  # fmt: skip


SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
TINY = [
    {"model": "bert", **SIZES, "with_pool": True, "with_nsp": True, "with_mlm": True},
    {"model": "bert", **SIZES, "application": "lm"},
    {"model": "unilm", **SIZES, "with_pool": "linear", "embedding_size": 8},
    {"model": "bert", **SIZES, "residual_attention_scores": True, "attention_key_size": 3},
]


def golden_cases() -> list[Case]:
    """The recorded cases of this family."""
    return find_cases(("bert", "roberta", "roberta_zh"))


def compare(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    if case.kind == "google":
        return compare_google(case, **options)
    return compare_bert4keras(case, **options)


def compare_google(case: Case, model: str = "bert", **options) -> float:
    """Every layer, the pooled vector and both heads against Google's own graph."""
    values, arrays = json.loads(case.record.read_text()), np.load(case.arrays)
    options = {"hidden_act": gelu_option(values.get("gelu"), values["config"]), **options}
    inputs = [arrays["input_ids"], arrays["segment_ids"]]
    path = checkpoint_of(case)
    built = build_transformer_model(checkpoint=path, model=model, with_pool=True, **options)
    names = sorted(
        (name for name in arrays.files if name.startswith("encoder_layer_")),
        key=lambda name: int(name.rsplit("_", 1)[1]),
    )
    layers = [f"Transformer-{i}-FeedForward-Norm" for i in range(len(names))]
    if "embedding_output" in arrays.files:  # not of fine-tuned classifiers
        layers, names = ["Embedding-Dropout", *layers], ["embedding_output", *names]
    taps = [built.get_layer(name).output for name in layers]
    outputs = keras.Model(built.inputs, [*taps, built.output])(inputs)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    recorded = [*names, "pooled_output"]
    worst = max(distance(ours, arrays[name]) for ours, name in zip(outputs, recorded))
    if "mlm_logits" in arrays.files:
        built = build_transformer_model(
            checkpoint=path, model=model, with_nsp="linear", with_mlm="linear", **options
        )
        nsp, mlm = built(inputs)
        positions = arrays["masked_lm_positions"]
        mlm = np.take_along_axis(np.asarray(mlm), positions[:, :, None], axis=1)
        worst = max(worst, distance(mlm.reshape(arrays["mlm_logits"].shape), arrays["mlm_logits"]))
        worst = max(worst, distance(tf.nn.log_softmax(nsp), arrays["nsp_log_probs"]))
    return worst


def key_biases_equal(case: Case) -> int:
    """Compares the key biases, which no output shows, by value; returns how many there are."""
    built = json.loads(case.record.read_text()).get("build_kwargs", {})
    options = {name: built[name] for name in ("segment_vocab_size",) if name in built}
    transformer = build_transformer_model(
        checkpoint=checkpoint_of(case), model="bert", return_keras_model=False, **options
    )
    prefix = transformer.files.prefix
    tensors = google.GoogleCheckpoint(prefix)
    count = 0
    for index in range(transformer.config.num_hidden_layers):
        name = f"bert/encoder/layer_{index}/attention/self/key/bias"
        layer = transformer.layers[f"Transformer-{index}-MultiHeadSelfAttention"]
        recorded = tensors.read([name])[name].numpy()
        np.testing.assert_array_equal(np.asarray(layer.key.bias), recorded)
        assert np.abs(recorded).max() > 0
        count += 1
    return count


def published() -> list[dict]:
    """The released checkpoints of this family."""
    found = entries(PUBLISHED, ("tensorflow1",))
    return [entry for entry in found if "nezha" not in entry["name"]]  # WoNEZHA: see nezha.py


def shrink(entry: dict) -> tuple[dict, dict[str, tf.Tensor]]:
    """The entry's configuration and tensors with every width made small."""
    config = dict(entry["config"])
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    sizes = {
        config["vocab_size"]: 41,
        hidden: heads * 4,
        config["intermediate_size"]: 23,
        config.get("embedding_size") or hidden: 7 if config.get("embedding_size") else heads * 4,
    }
    if config.get("attention_key_size"):
        sizes[heads * config["attention_key_size"]] = heads * 3
        config["attention_key_size"] = 3
    sizes[2 * hidden] = heads * 8  # RBT4's extra head
    for name in ("vocab_size", "hidden_size", "intermediate_size", "embedding_size"):
        if config.get(name):
            config[name] = sizes[config[name]]
    config["max_position_embeddings"] = 11
    rng = np.random.default_rng(0)
    tensors = {}
    for variable in entry["variables"]:
        shape = [sizes.get(size, size) for size in variable["shape"]]
        if variable["name"].endswith("position_embeddings"):
            shape[0] = 11
        value = rng.standard_normal(shape)
        tensors[variable["name"]] = tf.cast(value, variable["dtype"])
    return config, tensors


def load_published(entry: dict, folder: Path):
    """Writes the entry in small and loads it strictly, with all heads that it has."""
    config, tensors = shrink(entry)
    google.write(folder / "bert_model.ckpt", tensors)
    (folder / "bert_config.json").write_text(json.dumps(config))
    heads = {
        "with_pool": "bert/pooler/dense/kernel" in tensors,
        "with_nsp": "cls/seq_relationship/output_weights" in tensors,
        "with_mlm": "cls/predictions/output_bias" in tensors,
    }
    return build_transformer_model(folder, **{name: True for name, has in heads.items() if has})
