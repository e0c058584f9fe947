"""A random BERT in every side's own format: the same numbers in all of them.

``python -m benchmarks.weights FOLDER --model base`` writes

* ``google/``: ``bert_config.json``, ``vocab.txt`` and ``bert_model.ckpt`` (published names),
* ``huggingface/``: ``config.json``, ``vocab.txt`` and ``model.safetensors`` (kernels transposed),
* ``classifier.npz``: the weights of a two-class head, which no checkpoint holds.

It needs TensorFlow; keras-hub writes its own ``keras_hub/`` afterwards, from ``huggingface/``.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

import numpy as np

from benchmarks import texts

MODELS = {
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "tiny": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
}


def config_for(model: str) -> dict:
    """The ``bert_config.json`` of ``chinese_L-12_H-768_A-12``, at the hidden sizes of ``model``."""
    return {
        "attention_probs_dropout_prob": 0.1,
        "directionality": "bidi",
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "intermediate_size": 4 * MODELS[model]["hidden_size"],
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "vocab_size": 21128,
        **MODELS[model],
    }


def shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Name and shape of every variable of a published Google BERT checkpoint with this config."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    found: dict[str, tuple[int, ...]] = {}

    def norm(scope: str) -> None:
        found[f"{scope}/LayerNorm/beta"] = found[f"{scope}/LayerNorm/gamma"] = (hidden,)

    def dense(scope: str, rows: int, columns: int) -> None:
        found[f"{scope}/kernel"], found[f"{scope}/bias"] = (rows, columns), (columns,)

    for kind, rows in (("word", "vocab_size"), ("token_type", "type_vocab_size")):
        found[f"bert/embeddings/{kind}_embeddings"] = (config[rows], hidden)
    found["bert/embeddings/position_embeddings"] = (config["max_position_embeddings"], hidden)
    norm("bert/embeddings")
    for index in range(config["num_hidden_layers"]):
        scope = f"bert/encoder/layer_{index}"
        for part in ("query", "key", "value"):
            dense(f"{scope}/attention/self/{part}", hidden, hidden)
        dense(f"{scope}/attention/output/dense", hidden, hidden)
        norm(f"{scope}/attention/output")
        dense(f"{scope}/intermediate/dense", hidden, inner)
        dense(f"{scope}/output/dense", inner, hidden)
        norm(f"{scope}/output")
    dense("bert/pooler/dense", hidden, hidden)
    dense("cls/predictions/transform/dense", hidden, hidden)
    norm("cls/predictions/transform")
    found["cls/predictions/output_bias"] = (config["vocab_size"],)
    found["cls/seq_relationship/output_weights"] = (2, hidden)
    found["cls/seq_relationship/output_bias"] = (2,)
    return found


def random_values(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Float32 values for :func:`shapes`: everything near 0, except the scales near 1."""
    generator = np.random.default_rng(seed)
    values = {}
    for name, shape in shapes(config).items():
        values[name] = 0.02 * generator.standard_normal(shape, dtype=np.float32)
        if name.endswith("gamma"):
            values[name] += 1.0
    return values


def huggingface_name(name: str) -> str:
    """The name that transformers gives to a variable of Google's checkpoint."""
    name = re.sub(r"layer_(\d+)", r"layer/\1", name)
    name = re.sub(r"(embeddings|kernel|gamma|output_weights)$", r"\1/weight", name)
    name = name.replace("/kernel/weight", "/weight").replace("/gamma/weight", "/weight")
    name = name.replace("/output_weights/weight", "/weight").replace("/beta", "/bias")
    name = name.replace("predictions/output_bias", "predictions/bias")
    name = name.replace("seq_relationship/output_bias", "seq_relationship/bias")
    return name.replace("/", ".")


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes float32 arrays in the safetensors format: length of header, JSON header, bytes."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, array in tensors.items():
        end = offset + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array, dtype="<f4").tobytes())


def write_checkpoint(prefix: Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes a TensorFlow 1 style checkpoint with exactly these names."""
    import tensorflow as tf

    names = list(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(tensors[name]) for name in names],
    )


def write_all(folder: Path, model: str, data: Path | None) -> None:
    """Writes every format into ``folder``, which appears only when it is complete.

    Args:
        folder: to be created.
        model: a key of :data:`MODELS`.
        data: where the published vocabulary may be found; without it one is made up.
    """
    config = config_for(model)
    values = random_values(config)
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name in ("google", "huggingface"):
        (unfinished / name).mkdir(parents=True)
    vocabulary = "\n".join(texts.vocabulary(data, config["vocab_size"])) + "\n"

    google = unfinished / "google"
    (google / "vocab.txt").write_text(vocabulary, encoding="utf-8")
    (google / "bert_config.json").write_text(json.dumps(config, indent=2))
    write_checkpoint(google / "bert_model.ckpt", values)

    huggingface = unfinished / "huggingface"
    (huggingface / "vocab.txt").write_text(vocabulary, encoding="utf-8")
    facts = {**config, "model_type": "bert", "architectures": ["BertForPreTraining"]}
    facts.update(layer_norm_eps=1e-12, pad_token_id=0)
    (huggingface / "config.json").write_text(json.dumps(facts, indent=2))
    facts = {"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": 512}
    (huggingface / "tokenizer_config.json").write_text(json.dumps(facts, indent=2))
    tensors = {}
    for name, value in values.items():
        tensors[huggingface_name(name)] = value.T if name.endswith("/kernel") else value
    write_safetensors(huggingface / "model.safetensors", tensors)

    generator = np.random.default_rng(1)
    kernel = 0.02 * generator.standard_normal((config["hidden_size"], 2), dtype=np.float32)
    np.savez(unfinished / "classifier.npz", kernel=kernel, bias=np.zeros(2, np.float32))
    unfinished.rename(folder)


def main() -> None:
    """The command line of this module; the harness runs it in this package's environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=MODELS, default="base")
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    write_all(arguments.folder, arguments.model, arguments.data)


if __name__ == "__main__":
    main()
