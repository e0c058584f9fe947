"""Recorded checkpoints in every file format, each opened as a user opens it.

``python -m tests.format_cases [WORD ...]`` prints all of them, or those with a word in their name:
how far the weights are from those of the safetensors file with the same ones, by value, and how far
the outputs are from what was recorded.
The files lie in the shared folder beside the checkout.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from kerasbert import build_transformer_model
from kerasbert.models.weights import variables_by_path
from tests.families import FAMILIES
from tests.golden_cases import SHARED, Case, distance, gelu_option
from tests.huggingface_cases import ATOL

RECORDED = SHARED / "huggingface"
FILES = (
    "hf/*/pytorch_model.bin",
    "hf/bert_formats/pytorch_model.*.*",
    "hf/bert_formats/sharded_bin/*.index.json",
    "tf_h5/*/tf_model.h5",
    "tf_h5_old/*/tf_model.h5",
    "uer/*/model.bin",
    "paddle/*/model_state*.pdparams",
    "fairseq/*/model.pt",
    "b4k_*/*/*.weights",
    "b4k_*/*/*.h5",
    "b4k_*/*/*.weights.index",
)
# Not built here; what is recorded of it are generated texts (tests/generation); not a model's file.
LEFT_OUT = ("deberta_v2_conv", "deberta_v2_mlm", "bert_decoder", "bert_unilm")
# transformers 2.11 computed XLNet's gelu by tanh where its PyTorch models have erf: "gelu" in the
# json means the second, which is also what is recorded.
WEIGHTS_ALONE = ("tf_h5_old/xlnet_lm",)


def find() -> list[Case]:
    """All files, with the weights of each as ``record`` and its format as ``kind``."""
    found = []
    for pattern in FILES:
        for path in sorted(RECORDED.glob(pattern)):
            folder = path.parent if path.parent.name != "sharded_bin" else path.parent.parent
            kind, name = folder.relative_to(RECORDED).parts
            if kind == "hf" and name in LEFT_OUT:
                continue
            half = next(
                (f".{dtype}" for dtype in ("bf16", "fp16") if f".{dtype}." in path.name), ""
            )
            arrays = folder / f"golden{half}.npz"
            found.append(Case(f"{kind}/{name}/{path.name}", kind, folder, path, arrays, ATOL))
    return found


def _safetensors(case: Case) -> Path:
    """The file with the same weights."""
    if case.kind == "hf":
        half = case.arrays.name[len("golden") : -len(".npz")]
        return case.folder / f"model{half}.safetensors"
    said = json.loads((case.folder / "meta.json").read_text())["same_weights_as"]
    return RECORDED / "hf" / said.split(" ")[0].rsplit("/", 1)[-1] / "model.safetensors"


def _bert4keras_options(case: Case) -> dict:
    return dict(json.loads((case.folder / "meta.json").read_text())["build_transformer_model"])


def outputs(case: Case) -> float:
    """The largest difference of outputs."""
    if case.kind.startswith("b4k_"):
        return _bert4keras_outputs(case)
    name = _safetensors(case).parent.name
    family = next(
        family
        for family in FAMILIES
        for known in family.golden_cases()
        if known.kind == "huggingface" and known.folder.name == name
    )
    arrays = case.arrays
    if case.kind in ("uer", "paddle") or name in ("t5", "mt5", "xlnet_lm"):
        # fewer outputs were recorded with the file than of the model with the same weights
        arrays = RECORDED / "hf" / name / "golden.npz"
    with tempfile.TemporaryDirectory() as folder:
        if "uer/xlmr" in case.name:  # the row of padding's position is lost in these files
            full = {key: value for key, value in np.load(arrays).items() if ".full." in key}
            arrays = Path(folder) / "full.npz"
            np.savez(arrays, **full)
        return family.compare(
            Case(case.name, "huggingface", case.folder, case.record, arrays, case.atol)
        )


def _bert4keras_outputs(case: Case) -> float:
    """Of models whose head a user added, the encoder's are not recorded: then 0."""
    arrays, options = np.load(case.arrays), _bert4keras_options(case)
    config = case.folder / "bert_config.json"
    if case.folder.name == "bert_finetune":
        return 0.0
    worst = 0.0
    for form in ("erf", "tanh"):
        act = gelu_option(form, json.loads(config.read_text()))
        model = build_transformer_model(config, case.record, hidden_act=act, **options)
        given = [arrays["in.pad.token_ids"], arrays["in.pad.segment_ids"]]
        ours = model(given[: len(model.inputs)])
        for i, value in enumerate(ours if isinstance(ours, (list, tuple)) else [ours]):
            recorded = arrays[f"out.{form}.{i}"]
            real = (given[0] != 0).reshape(given[0].shape + (1,) * (recorded.ndim - 2))
            keep = real if recorded.ndim > 2 else np.ones((), bool)
            value, recorded = (np.asarray(x, np.float64) * keep for x in (value, recorded))
            worst = max(worst, distance(value, recorded))
    return worst


def weights(case: Case) -> tuple[float, int]:
    """The largest difference of weights from those of the safetensors file, and their number."""
    options = _bert4keras_options(case) if case.kind.startswith("b4k_") else {}
    model = options.pop("model", None)
    built = {}
    for path in (case.record, _safetensors(case)):
        sizes = {"type_vocab_size": 1} if case.kind == "fairseq" else {}
        config = case.folder / "bert_config.json"
        built[path] = build_transformer_model(
            config if path == case.record and config.exists() else None,
            path,
            model=model,
            return_keras_model=False,
            **sizes,
            **options,
        )
    ours, theirs = (variables_by_path(each.layers) for each in built.values())
    assert ours.keys() == theirs.keys()
    worst = 0.0
    for path, value in ours.items():
        value, other = np.asarray(value, np.float64), np.asarray(theirs[path], np.float64)
        if path == "Embedding-Segment/embeddings" and case.kind == "fairseq":
            continue  # it has none
        if path == "Embedding-Position/embeddings" and "xlmr" in case.name:
            value, other = value[2:], other[2:]  # rows that are never used
        worst = max(worst, distance(value, other))
    return worst, len(ours)


def main() -> int:
    """Prints the table of all cases."""
    outside, share, count = 0, 0.0, {}
    print("| file | variables | weights differ by | outputs differ by | tolerance |")
    print("|---|---|---|---|---|")
    asked = sys.argv[1:]
    for case in find():
        if asked and not any(word in case.name for word in asked):
            continue
        try:
            differs, number = weights(case)
            found = 0.0 if any(w in case.name for w in WEIGHTS_ALONE) else outputs(case)
        except Exception as error:
            print(f"| {case.name} | **{type(error).__name__}: {str(error)[:300]}** |", flush=True)
            outside += 1
            continue
        bad = differs != 0 or found > case.atol
        outside += bad
        share = max(share, found / case.atol)
        count[case.kind] = count.get(case.kind, 0) + 1
        mark = " **outside**" if bad else ""
        print(f"| {case.name} | {number} | {differs:.1e} | {found:.1e}{mark} | {case.atol:.0e} |",
              flush=True)  # fmt: skip
    print(f"\n{sum(count.values())} files: {count}; {outside} outside; the largest share of a "
          f"tolerance used is {share:.0%}.")  # fmt: skip
    return int(outside > 0)


if __name__ == "__main__":
    sys.exit(main())
