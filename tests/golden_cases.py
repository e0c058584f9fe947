"""Recorded outputs of the original code: where they lie, and how a case is compared.

A few cases are committed below ``tests/golden``; all of them are run when the shared folder lies
beside the checkout. ``python -m tests.golden_cases`` prints every case with its largest
difference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.google import GoogleCheckpoint

HERE = Path(__file__).parent / "golden"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "golden"


@dataclass(frozen=True)
class Case:
    """One recorded case.

    Attributes:
        name: where it comes from.
        kind: "google" (Google's own outputs), "b4k" or "bert4keras" (bert4keras' outputs).
        folder: of the checkpoint.
        record: the json that describes it.
        arrays: the npz of inputs and outputs.
        atol: the tolerance stated with it.
    """

    name: str
    kind: str
    folder: Path
    record: Path
    arrays: Path
    atol: float

    def __str__(self) -> str:
        return self.name


def _google(folder: Path) -> Case:
    record = folder / "case.json"
    atol = json.loads(record.read_text())["suggested_atol"]
    return Case(f"google/{folder.name}", "google", folder, record, folder / "golden.npz", atol)


def _probabilities(options: dict) -> bool:
    """Whether all outputs of a bert4keras case are probabilities (their tolerance is finer)."""
    heads = [options.get("with_mlm"), options.get("with_nsp")]
    mlm = options.get("application") in ("lm", "unilm") and options.get("with_mlm") is None
    return (True in heads or mlm) and "with_pool" not in options and "linear" not in heads


def find_cases(families: tuple[str, ...]) -> list[Case]:
    """Every case of model families, the committed ones and, beside the checkout, the rest."""
    cases: dict[str, Case] = {}
    for root in (HERE, SHARED):
        for folder in sorted(root.glob("google/*/")):
            if (folder / "case.json").exists():
                family = json.loads((folder / "case.json").read_text()).get("family", "")
                if family in families or folder.name == "nezha_absolute":
                    case = _google(folder)
                    cases.setdefault(case.name, case)
        for record in sorted(root.glob("google/b4k/*.json")):
            values = json.loads(record.read_text())
            named = isinstance(values, dict) and values.get("model") in families
            if named and record.with_suffix(".npz").exists():
                folder = record.parent.parent / Path(values["checkpoint"]).parent
                atol = 1e-6 if _probabilities(values["build_kwargs"]) else 2e-5
                name = f"google/b4k/{record.stem}"
                arrays = record.with_suffix(".npz")
                cases.setdefault(name, Case(name, "b4k", folder, record, arrays, atol))
        for record in sorted(root.glob("bert4keras/*/meta.json")):
            values = json.loads(record.read_text())
            if values["build_kwargs"].get("model", "bert") in families:
                atol = 1e-6 if _probabilities(values["build_kwargs"]) else 2e-5
                name = f"bert4keras/{record.parent.name}"
                arrays = record.parent / "io.npz"
                cases.setdefault(
                    name, Case(name, "bert4keras", record.parent, record, arrays, atol)
                )
    return sorted(cases.values(), key=lambda case: case.name)


BERT_CASES = find_cases(("bert", "roberta", "roberta_zh"))


def difference(case: Case, **options) -> float:
    """The largest absolute difference between our outputs and the recorded ones."""
    compare = _compare_google if case.kind == "google" else _compare_bert4keras
    return compare(case, json.loads(case.record.read_text()), np.load(case.arrays), options)


def _distance(ours, recorded) -> float:
    ours, recorded = np.asarray(ours, np.float64), np.asarray(recorded, np.float64)
    assert ours.shape == recorded.shape, (ours.shape, recorded.shape)
    return float(np.abs(ours - recorded).max())


def _gelu(form: str | None, config: dict) -> str | None:
    if config.get("hidden_act", "gelu") != "gelu" or form is None:
        return None
    return f"gelu_{form}"


def checkpoint_of(case: Case) -> Path:
    """What a user would hand over: the archive where there is one, else the prefix."""
    values = json.loads(case.record.read_text())
    archives = [*case.folder.glob("*.zip"), *case.folder.glob("*.tar.gz")]
    if case.kind == "google":
        return archives[0] if archives else case.folder / values["checkpoint"]
    if case.kind == "b4k":
        return case.folder / Path(values["checkpoint"]).name
    return case.folder / "model.ckpt"


def _compare_google(case: Case, values: dict, arrays, options: dict) -> float:
    """Every layer, the pooled vector and both heads against Google's own graph."""
    options = {"hidden_act": _gelu(values.get("gelu"), values["config"]), **options}
    inputs = [arrays["input_ids"], arrays["segment_ids"]]
    path = checkpoint_of(case)
    built = build_transformer_model(checkpoint=path, model="bert", with_pool=True, **options)
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
    worst = max(_distance(ours, arrays[name]) for ours, name in zip(outputs, recorded))
    if "mlm_logits" in arrays.files:
        built = build_transformer_model(
            checkpoint=path, model="bert", with_nsp="linear", with_mlm="linear", **options
        )
        nsp, mlm = built(inputs)
        positions = arrays["masked_lm_positions"]
        mlm = np.take_along_axis(np.asarray(mlm), positions[:, :, None], axis=1)
        worst = max(worst, _distance(mlm.reshape(arrays["mlm_logits"].shape), arrays["mlm_logits"]))
        worst = max(worst, _distance(tf.nn.log_softmax(nsp), arrays["nsp_log_probs"]))
    return worst


def _compare_bert4keras(case: Case, values: dict, arrays, options: dict) -> float:
    """The model's outputs against bert4keras 0.11.5's."""
    if case.kind == "b4k":
        config = case.folder / Path(values["config"]).name
        inputs = [arrays[name] for name in values["inputs"]]
    else:
        config = case.folder / "bert_config.json"
        inputs = [arrays[name] for name in arrays.files if name.startswith("in_")]
    build = dict(values["build_kwargs"])
    build.setdefault("model", values.get("model", "bert"))
    build["hidden_act"] = _gelu(values["gelu"], json.loads(config.read_text()))
    outputs = build_transformer_model(config, checkpoint_of(case), **build, **options)(inputs)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    recorded = [arrays[name] for name in arrays.files if name.startswith("out")]
    assert len(outputs) == len(recorded)
    return max(_distance(ours, theirs) for ours, theirs in zip(outputs, recorded))


def key_biases_equal(case: Case) -> int:
    """Compares the key biases, which no output shows, by value; returns how many there are."""
    built = json.loads(case.record.read_text()).get("build_kwargs", {})
    options = {name: built[name] for name in ("segment_vocab_size",) if name in built}
    transformer = build_transformer_model(
        checkpoint=checkpoint_of(case), model="bert", return_keras_model=False, **options
    )
    prefix = transformer.files.prefix
    tensors = GoogleCheckpoint(prefix)
    count = 0
    for index in range(transformer.config.num_hidden_layers):
        name = f"bert/encoder/layer_{index}/attention/self/key/bias"
        layer = transformer.layers[f"Transformer-{index}-MultiHeadSelfAttention"]
        recorded = tensors.read([name])[name].numpy()
        np.testing.assert_array_equal(np.asarray(layer.key.bias), recorded)
        assert np.abs(recorded).max() > 0
        count += 1
    return count


def main() -> None:
    """Prints the table of all cases."""
    worst = 0.0
    print("| case | largest difference | tolerance | key biases equal |\n|---|---|---|---|")
    for case in BERT_CASES:
        found = difference(case)
        worst = max(worst, found / case.atol)
        biases = key_biases_equal(case)
        verdict = "" if found <= case.atol else " **outside**"
        print(f"| {case.name} | {found:.1e}{verdict} | {case.atol:.0e} | {biases} of {biases} |")
    print(f"\n{len(BERT_CASES)} cases; the largest share of a tolerance used is {worst:.0%}.")


if __name__ == "__main__":
    main()
