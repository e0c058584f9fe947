"""Whether the Transformers library opens what is exported, and computes the same.

Two environments take part, since neither needs the other's libraries:

    python docs/check_huggingface_exports.py write exports   # where kerasbert is installed
    python docs/check_huggingface_exports.py read exports    # where torch and transformers are

``write`` makes small models of every family with random weights, exports them, and records their
outputs. ``--also FOLDER`` converts a checkpoint of your own as well (its tokenizer is compared on a
few texts). ``read`` opens each folder by the class that its config.json names, and by AutoModel.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

import numpy as np

# Of float32, at all positions that are no padding; of logits above 1, in parts of the largest.
TOLERANCE = 2e-5
# What is not the fault of a file.
ANEW = "mask_emb"  # XLNet's encoders alone have no vector that queries start from
NO_SPECIAL_TOKENS = "RemBertTokenizer"  # transformers 5 puts none around texts, for any *.model
TEXTS = ["Hello world", "今天天气不错, let's go!", "unaffable 2019, café"]

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
}
T5_SIZES = {key: SIZES[key] for key in list(SIZES)[:-1]} | {"attention_head_size": 10}
GENERAL = {"with_pool": True, "with_mlm": "linear"}
ROBERTA = {"max_position_embeddings": 26, "pad_token_id": 1}
GPT = {"type_vocab_size": 0, "hidden_act": "gelu_tanh", "final_activation": "linear"}
# Options of build_transformer_model by the name of the case; `head` is the task of a layer on top,
# `export` are arguments of save_as_huggingface.
CASES = {
    "bert_pooler": {"with_pool": True},
    "bert_mlm": {"with_mlm": "linear", "hidden_act": "gelu_tanh"},
    "bert_pooler_mlm": GENERAL,
    "bert_pretraining": {"with_nsp": "linear", "with_mlm": "linear", "hidden_act": "relu"},
    "bert_nsp": {"with_nsp": "linear", "layer_norm_eps": 1e-5},
    "bert_causal": {"application": "lm", "with_mlm": "linear"},
    "bert_no_segments": {"with_pool": True, "type_vocab_size": 0},
    "bert_classifier": {"with_pool": True, "head": "sequence_classification"},
    "bert_tagger": {"head": "token_classification"},
    "bert_reader": {"head": "question_answering"},
    "bert_float16": {"with_pool": True, "export": {"dtype": "float16"}},
    "bert_bfloat16": {"with_pool": True, "export": {"dtype": "bfloat16"}},
    "bert_shards": {**GENERAL, "export": {"max_shard_size": "20KB"}},
    "factorised_pooler": {"with_pool": True, "embedding_size": 16},
    "factorised_mlm": {"with_mlm": "linear", "embedding_size": 16},
    "albert_pooler": {"model": "albert", "embedding_size": 16, "with_pool": True},
    "albert_pretraining": {"model": "albert", "embedding_size": 16, "with_sop": "linear",
                           "with_mlm": "linear"},
    "albert_groups": {"model": "albert", "embedding_size": 16, "num_hidden_layers": 4,
                      "num_hidden_groups": 2, "inner_group_num": 2, "with_pool": True},
    "albert_unshared": {"model": "albert_unshared", "embedding_size": 16, "with_mlm": "linear"},
    "albert_equal_width": {"model": "albert", "with_pool": True},
    "albert_classifier": {"model": "albert", "with_pool": True, "head": "sequence_classification"},
    "electra": {"model": "electra", "embedding_size": 16, "with_discriminator": "linear"},
    "electra_equal_width": {"model": "electra"},
    "electra_generator": {"model": "electra_generator", "embedding_size": 16, "with_mlm": "linear"},
    "electra_classifier": {"model": "electra", "with_pool": True,
                           "head": "sequence_classification"},
    "ernie_pretraining": {"model": "ernie", "with_nsp": "linear", "with_mlm": "linear",
                          "use_task_id": True},
    "nezha_pretraining": {"model": "nezha", "with_nsp": "linear", "with_mlm": "linear",
                          "max_relative_position": 5},
    "nezha_positions": {"model": "nezha", "use_relative_position": False, "with_pool": True},
    "rembert_pooler": {"model": "rembert", "embedding_size": 16, "with_pool": True},
    "rembert_mlm": {"model": "rembert", "embedding_size": 16, "output_embedding_size": 36,
                    "with_mlm": "linear"},
    "roberta_pooler": {"model": "roberta", **ROBERTA, "with_pool": True},
    "roberta_mlm": {"model": "roberta", **ROBERTA, "with_mlm": "linear"},
    "roberta_classifier": {"model": "roberta", **ROBERTA, "with_pool": True,
                           "head": "sequence_classification"},
    "xlm_roberta_mlm": {"model": "roberta", **ROBERTA, "with_mlm": "linear",
                        "export": {"config": {"model_type": "xlm-roberta"}}},
    "xlm_roberta_xl_mlm": {"model": "xlm_roberta_xl", **ROBERTA, "with_mlm": "linear"},
    "xlm_roberta_xl_pooler": {"model": "xlm_roberta_xl", **ROBERTA, "with_pool": True},
    "roformer": {"model": "roformer", "hidden_act": "gelu_tanh"},
    "roformer_mlm": {"model": "roformer", "embedding_size": 16, "with_mlm": "linear",
                     "rotary_value": True},
    "roformer_classifier": {"model": "roformer", "with_pool": "gelu_erf",
                            "head": "sequence_classification"},
    "xlnet": {"model": "xlnet", "pad_token_id": 0},
    "xlnet_tied": {"model": "xlnet", "pad_token_id": 0, "untie_r": False,
                   "application": "permutation", "with_mlm": "linear"},
    "xlnet_classifier": {"model": "xlnet", "pad_token_id": 0, "with_pool": True,
                         "head": "sequence_classification"},
    "t5_hidden": {"model": "t5", "with_lm": False, "scale_decoder_outputs": False},
    "t5": {"model": "t5.1.0", "with_lm": "linear"},
    "t5_later": {"model": "t5.1.1", "with_lm": "linear"},
    "mt5": {"model": "mt5.1.1", "with_lm": "linear", "export": {"config": {"model_type": "mt5"}}},
    "t5_encoder": {"model": "t5.1.1_encoder"},
    "gpt": {"model": "gpt", **GPT, "intermediate_size": 128},
    "gpt2": {"model": "gpt2", **GPT},
    "gpt2_float16": {"model": "gpt2", **GPT, "export": {"dtype": "float16"}},
}  # fmt: skip


def write(folder: Path, also: list[Path]) -> None:
    """Exports all models, with the inputs and outputs of each in ``outputs.npz``."""
    from kerasbert import Tokenizer
    from kerasbert.convert import convert

    folder.mkdir(parents=True, exist_ok=True)
    for name, options in CASES.items():
        write_case(folder / name, dict(options))
        print(name, flush=True)
    for source in also:
        target = folder / f"converted_{source.name}"
        print(convert(source, target, "huggingface"))
        if not (target / "tokenizer_config.json").exists():
            continue
        tokenizer = Tokenizer.from_pretrained(target)
        ids = {text: tokenizer.encode_ids(text) for text in TEXTS}
        (target / "texts.json").write_text(json.dumps(ids))


def write_case(target: Path, options: dict) -> None:
    """One model with random weights and its outputs."""
    from kerasbert import build_transformer_model, save_as_huggingface
    from kerasbert.backend import keras

    head, export = options.pop("head", None), options.pop("export", {})
    is_t5 = "t5" in str(options.get("model"))
    sizes = T5_SIZES if is_t5 else SIZES
    transformer = build_transformer_model(sizes, return_keras_model=False, **options)
    model = transformer.model
    if head:
        x = model.output
        if options.get("model") == "electra":
            x = keras.layers.Dense(sizes["hidden_size"], "gelu")(keras.layers.Dropout(0.1)(x))
        layer = keras.layers.Dense(2 if head == "question_answering" else 3, name="Task")
        model = keras.Model(model.inputs, layer(x))
        export = {"task": head, **export}
    randomize(model, export.get("dtype"))
    save_as_huggingface(model if head else transformer, target, **export)
    given = example_inputs(model)
    found = keras.Model(model.inputs, [model.output] if head else transformer.outputs)
    outputs = found(list(given.values()))
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    arrays = {f"out{i}": np.asarray(value, "float32") for i, value in enumerate(outputs)}
    np.savez(target / "outputs.npz", **arrays, **{f"in.{key}": v for key, v in given.items()})


def randomize(model, dtype: str | None) -> None:
    """Weights that show every mistake; rounded to the dtype that is stored."""
    from kerasbert.backend import tf

    rng = np.random.default_rng(0)
    for variable in model.variables:
        if not tf.as_dtype(variable.dtype).is_floating:
            continue
        value = tf.constant(rng.normal(size=variable.shape) * 0.25, tf.float32)
        value = value + (1.0 if str(variable.name).split("/")[-1].startswith("gamma") else 0.0)
        variable.assign(tf.cast(tf.cast(value, dtype or "float32"), "float32"))


def example_inputs(model) -> dict[str, np.ndarray]:
    """Inputs by the names of the model's input layers; the last row of tokens is padded."""
    rng, found = np.random.default_rng(1), {}
    for tensor in model.inputs:
        name = tensor.name.split(":")[0]
        if name.endswith("Input-Token"):
            value = rng.integers(5, 60, (3, 11))
            if "Encoder" in name or "Decoder" not in name:
                pad = 1 if any("Segment" in x.name for x in model.inputs) is False else 0
                value[-1, -3:] = pad if not name.startswith(("Encoder", "Decoder")) else 0
            else:
                value = np.concatenate([np.zeros((3, 1), int), value[:, :6]], 1)
        elif name == "Input-Segment":
            value = np.repeat([[0] * 6 + [1] * 5], 3, 0)
        elif name == "Input-Permutation-Mask":
            order = rng.permutation(11)
            value = np.repeat([order[:, np.newaxis] <= order[np.newaxis]], 3, 0)
        elif name == "Input-Target-Mapping":
            value = np.repeat([np.eye(11)[[2, 5]]], 3, 0)
        else:
            raise NotImplementedError(name)
        found[name] = value.astype("int32")
    return found


def read(folder: Path) -> int:
    """Opens and compares all exports; the number of those that are wrong."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}")
    wrong = 0
    for target in sorted(path for path in folder.iterdir() if (path / "config.json").exists()):
        config = json.loads((target / "config.json").read_text())
        name = config["architectures"][0]
        if not hasattr(transformers, name):
            print(f"{target.name:<24} {name:<36} not in this version")
            continue
        problems, worst = check(target, name, transformers)
        wrong += bool(problems)
        print(f"{target.name:<24} {name:<36} {worst:.1e}  {'; '.join(problems) or 'ok'}")
    print(f"{wrong} wrong")
    return wrong


def check(target: Path, name: str, transformers) -> tuple[list[str], float]:
    """What is wrong with one export, and the largest difference of its outputs."""
    import torch

    problems, worst = [], 0.0
    options = {"output_loading_info": True, "attn_implementation": "eager"}
    model, info = getattr(transformers, name).from_pretrained(target, **options)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = [str(found) for found in info[key]]
        if key == "missing_keys":
            names = [found for found in names if not found.endswith(ANEW)]
        if key == "unexpected_keys":  # a pooler or head that this class leaves unused
            names = [found for found in names if "pooler" not in found and "summary" not in found]
        if names:
            problems.append(f"{key}: {', '.join(names[:3])}")
    transformers.AutoConfig.from_pretrained(target)
    transformers.AutoModel.from_pretrained(target)
    if (target / "texts.json").exists():
        problems += check_tokenizer(target, transformers)
    if (target / "outputs.npz").exists():
        arrays = np.load(target / "outputs.npz")
        given = {key[3:]: torch.tensor(arrays[key]).long() for key in arrays.files if key[2] == "."}
        wanted = [arrays[f"out{i}"] for i in range(sum(key[:3] == "out" for key in arrays.files))]
        with torch.no_grad():
            outputs = model.float().eval()(**arguments(given, model.config))
        ids = given.get("Decoder-Input-Token")
        ids = next(iter(given.values())) if ids is None else ids
        worst = compare(wanted, outputs, ids.numpy() != (model.config.pad_token_id or 0))
        if worst > TOLERANCE:
            problems.append("outputs differ")
    return problems, worst


def arguments(given: dict, config) -> dict:
    """Our inputs under the names of the library's."""
    named = {"Input-Token": "input_ids", "Encoder-Input-Token": "input_ids",
             "Decoder-Input-Token": "decoder_input_ids", "Input-Segment": "token_type_ids",
             "Input-Permutation-Mask": "perm_mask",
             "Input-Target-Mapping": "target_mapping"}  # fmt: skip
    found = {named[key]: value for key, value in given.items()}
    for key in ("perm_mask", "target_mapping"):
        if key in found:
            found[key] = found[key].float()
    found["attention_mask"] = (found["input_ids"] != config.pad_token_id).long()
    return found


def compare(wanted: list[np.ndarray], outputs, tokens: np.ndarray) -> float:
    """The largest difference between our outputs and those of the same shapes, at tokens.

    One output must be there at least: a class may leave the pooler of its model unused.
    """
    theirs = [value.numpy() for value in outputs.values() if hasattr(value, "numpy")]
    if "start_logits" in outputs:
        theirs.append(np.stack([outputs[k].numpy() for k in ("start_logits", "end_logits")], -1))
    theirs += [value[..., np.newaxis] for value in theirs if value.ndim == 2]
    found = []
    for value in wanted:
        same = [other for other in theirs if other.shape == value.shape]
        if not same:
            continue
        at = tokens if value.shape[:2] == tokens.shape and value.ndim == 3 else slice(None)
        scale = max(1.0, float(np.abs(value).max()))
        found.append(min(float(np.abs(value[at] - other[at]).max()) for other in same) / scale)
    return max(found, default=float("inf"))


def check_tokenizer(target: Path, transformers) -> list[str]:
    """Texts that the library's tokenizer gives other ids."""
    name = json.loads((target / "tokenizer_config.json").read_text())["tokenizer_class"]
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(target)
    except ValueError:  # transformers 5 wants a tokenizer.json for XLM-R XL
        tokenizer = getattr(transformers, name).from_pretrained(target)
    expected = json.loads((target / "texts.json").read_text())
    wrong = [text for text, ids in expected.items() if tokenizer(text)["input_ids"] != ids]
    if not wrong or type(tokenizer).__name__ == NO_SPECIAL_TOKENS:
        return []
    return [f"{type(tokenizer).__name__}: other ids of {wrong[0]!r}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("write", "read"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--also", type=Path, nargs="*", default=[], metavar="CHECKPOINT")
    options = parser.parse_args()
    logging.basicConfig(level="ERROR")
    if options.step == "read":
        return min(read(options.folder), 1)
    write(options.folder, options.also)
    return 0


if __name__ == "__main__":
    sys.exit(main())
