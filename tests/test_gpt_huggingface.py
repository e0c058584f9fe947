"""GPT and GPT-2 under Hugging Face's names, against recorded outputs of its classes.

The two cases were recorded with transformers 4.41.2 and random weights.
"""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasbert import (
    ConfigError,
    TextEncoder,
    TextGenerator,
    Tokenizer,
    build_transformer_model,
    save_as_huggingface,
    save_weights_as_checkpoint,
)
from kerasbert.checkpoints.loading import open_tensors
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.checkpoints.source import find_checkpoint
from kerasbert.cli import main
from kerasbert.models.registry import find_model
from kerasbert.tokenizers.bytelevel_bpe import GPT2_TOKENS, ByteLevelBPETokenizer
from kerasbert.tokenizers.bytelevel_words import byte_characters
from tests import h5_cases
from tests.huggingface_cases import ATOL, HERE, find, recorded_sets

FOLDER = HERE / "huggingface" / "hf"
CASES = {"gpt2_lm": "gpt2", "openai_gpt_lm": "gpt"}


def config(case: str) -> dict:
    return json.loads((FOLDER / case / "config.json").read_text())


def tensors(case: str) -> dict[str, np.ndarray]:
    return load_file(FOLDER / case / "model.safetensors")


def logits(case: str, checkpoint, given=None, **options) -> np.ndarray:
    """Our scores of the recorded texts."""
    inputs = recorded_sets(find(case)[0])["plain"][0]
    model = build_transformer_model(given, checkpoint, final_activation="linear", **options)
    return np.asarray(model(inputs["input_ids"]))


def recorded(case: str) -> np.ndarray:
    return recorded_sets(find(case)[0])["plain"][1]["lm_logits"]


@pytest.mark.smoke
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("which", ["plain", "masked"])
def test_recorded_scores(case, which):
    inputs, outputs = recorded_sets(find(case)[0])[which]
    built = build_transformer_model(
        checkpoint=FOLDER / case,
        final_activation="linear",
        with_attention_mask="attention_mask" in inputs,
        return_keras_model=False,
    )
    assert built.family == CASES[case]
    arrays = list(inputs.values())
    found = np.asarray(built.model(arrays if len(arrays) > 1 else arrays[0]))
    assert np.abs(found - outputs["lm_logits"]).max() < ATOL
    assert np.abs(outputs["lm_logits"]).max() > 1


@pytest.mark.parametrize("case", CASES)
def test_another_form_of_gelu_or_epsilon_would_be_seen(case):
    for options in ({"hidden_act": "gelu_erf"}, {"layer_norm_eps": 1e-3}):
        assert np.abs(logits(case, FOLDER / case, **options) - recorded(case)).max() > 2 * ATOL


@pytest.mark.parametrize("case", CASES)
def test_no_id_is_padding_unless_the_json_says_so(case):
    """The recorded texts have id 0, which is "!" in GPT-2's vocabulary."""
    assert (recorded_sets(find(case)[0])["plain"][0]["input_ids"] == 0).any()
    padded = logits(case, tensors(case), {**config(case), "pad_token_id": 0})
    assert np.abs(padded - recorded(case)).max() > 1e-2


@pytest.mark.parametrize("case", CASES)
def test_names_of_a_body_that_was_saved_alone(case):
    body = {name.removeprefix("transformer."): value for name, value in tensors(case).items()}
    assert body.keys() != tensors(case).keys()
    np.testing.assert_array_equal(
        logits(case, body, config(case)), logits(case, tensors(case), config(case))
    )


@pytest.mark.parametrize("case", CASES)
def test_constants_and_tied_copies_mean_nothing(case):
    arrays = tensors(case)
    arrays["transformer.h.0.attn.bias"] = np.ones((1, 1, 32, 32), np.uint8)
    arrays["transformer.h.1.attn.masked_bias"] = np.float32(-1e4)
    arrays["lm_head.weight"] = next(v for k, v in arrays.items() if k.endswith(("wte.weight",
                                    "tokens_embed.weight")))  # fmt: skip
    assert np.abs(logits(case, arrays, config(case)) - recorded(case)).max() < ATOL
    arrays["transformer.h.0.attn.other"] = np.ones(3, np.float32)
    with pytest.raises(CheckpointMismatchError, match=r"transformer\.h\.0\.attn\.other"):
        logits(case, arrays, config(case))


@pytest.mark.parametrize("case", CASES)
def test_three_in_one_of_another_width_is_told(case):
    arrays = tensors(case)
    arrays["transformer.h.1.attn.c_attn.weight"] = np.ones((16, 47), np.float32)
    with pytest.raises(CheckpointMismatchError, match=r"h.1.attn.c_attn.weight .*checkpoint 16x47"):
        logits(case, arrays, config(case))


@pytest.mark.parametrize("case", CASES)
def test_saved_again_every_tensor_is_the_same(case, tmp_path):
    built = build_transformer_model(checkpoint=FOLDER / case, return_keras_model=False)
    save_as_huggingface(built, tmp_path / "again")
    again, before = load_file(tmp_path / "again" / "model.safetensors"), tensors(case)
    assert again.keys() == before.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(again[name], value)
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    for key, value in config(case).items():
        if not key.startswith(("summary", "transformers", "use_cache", "reorder", "scale")):
            assert written[key] == value, key
    np.testing.assert_array_equal(logits(case, tmp_path / "again"), logits(case, FOLDER / case))


@pytest.mark.parametrize("case", CASES)
def test_through_google_s_format_nothing_changes(case, tmp_path):
    model = build_transformer_model(checkpoint=FOLDER / case)
    save_weights_as_checkpoint(model, tmp_path / "model.ckpt")
    np.testing.assert_array_equal(logits(case, tmp_path), logits(case, FOLDER / case))


def test_tensorflow_s_file_of_gpt2(tmp_path):
    """Its biases are matrices of one row, and its kernels lie as PyTorch's do."""
    layers = {"transformer": []}
    for name, value in tensors("gpt2_lm").items():
        path = name.replace("transformer.h.", "transformer.h_._").replace(".", "/").replace(
            "h_/_", "h_._")  # fmt: skip
        if "ln_" in name:
            path = path.replace("weight", "gamma").replace("bias", "beta")
        elif name.endswith("bias"):
            value = value[np.newaxis]
        layers["transformer"].append((f"tfgpt2lm_head_model/{path}:0", value))
    h5_cases.write_layers(tmp_path / "tf_model.h5", layers)
    (tmp_path / "config.json").write_text(json.dumps(config("gpt2_lm")))
    source = open_tensors(find_checkpoint(tmp_path))
    assert source.shapes == {name: value.shape for name, value in tensors("gpt2_lm").items()}
    np.testing.assert_array_equal(
        logits("gpt2_lm", tmp_path), logits("gpt2_lm", FOLDER / "gpt2_lm")
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale_attn_by_inverse_layer_idx", True),
        ("scale_attn_weights", False),
        ("add_cross_attention", True),
        ("tie_word_embeddings", False),
    ],
)
def test_variants_that_are_not_built_are_told(key, value):
    with pytest.raises(ConfigError, match=rf"{key} must be {not value}. Received: {value}"):
        build_transformer_model({**config("gpt2_lm"), key: value}, tensors("gpt2_lm"))


def test_generation_sees_every_id():
    """Greedy tokens after prompts with id 0 are those of the scores of the whole text."""
    model = build_transformer_model(checkpoint=FOLDER / "gpt2_lm", final_activation="linear")
    tokenizer = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(46))])
    generate = TextGenerator(model, tokenizer, max_new_tokens=6, min_new_tokens=6).function()
    prompts = np.array([[0, 5, 0, 7], [3, 0, 9, 0]], "int32")  # the last one is padding
    found = np.asarray(generate(prompts, np.zeros_like(prompts))[0])[:, 0]
    for prompt, new in zip(([0, 5, 0, 7], [3, 0, 9]), found):
        text = list(prompt)
        for _ in range(6):
            scores = np.array(model(np.array([text], "int32")))[0, -1]
            scores[tokenizer.end_id] = -np.inf
            text.append(int(scores.argmax()))
        assert new.tolist() == text[len(prompt) :]


def test_vectors_need_an_id_for_padding():
    tokenizer = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdef", *map(str, range(40))])
    model = build_transformer_model(checkpoint=FOLDER / "gpt2_lm")
    with pytest.raises(ValueError, match=r"takes no id for padding.* pad_token_id="):
        TextEncoder(model, tokenizer, pooling="mean")
    model = build_transformer_model(checkpoint=FOLDER / "gpt2_lm", pad_token_id=0)
    encoder = TextEncoder(model, tokenizer, pooling="mean")
    both = encoder.encode(["a b", "c d e f a b"])
    np.testing.assert_allclose(both[0], encoder.encode("a b"), atol=1e-6)


def gpt2_tokenizer():
    pytest.importorskip("tokenizers")
    tokens = list(byte_characters())
    vocab = {token: i for i, token in enumerate([*tokens, "he", "<|endoftext|>"])}
    return ByteLevelBPETokenizer(vocab, ["h e"], **GPT2_TOKENS)


def test_the_tokenizer_of_gpt2_stays_what_it_is(tmp_path):
    """Transformers 4.41 and 5.23 make the same ids of this folder, with nothing around a text."""
    tokenizer = gpt2_tokenizer()
    values = {**config("gpt2_lm"), "vocab_size": tokenizer.vocab_size}
    model = build_transformer_model(values, return_keras_model=False)
    save_as_huggingface(model, tmp_path / "out", vocab=tokenizer)
    settings = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "GPT2Tokenizer"
    assert settings["eos_token"] == settings["bos_token"] == "<|endoftext|>"
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["eos_token_id"] == written["bos_token_id"] == 49  # what the json said
    again = Tokenizer.from_pretrained(tmp_path / "out")
    assert type(again) is type(tokenizer)
    assert again.encode_ids("hehe!") == tokenizer.encode_ids("hehe!")


def test_the_end_of_a_document_ends_what_gpt2_writes(tmp_path):
    tokenizer = gpt2_tokenizer()
    end = tokenizer.token_dict["<|endoftext|>"]
    assert tokenizer.end_id is None
    assert tokenizer.stop_id == end
    values = {"vocab_size": tokenizer.vocab_size, "hidden_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": 24}  # fmt: skip
    model = build_transformer_model(values, model="gpt2", return_keras_model=False)
    save_as_huggingface(model, tmp_path / "out", vocab=tokenizer)
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["eos_token_id"] == end
    table = model.model.get_layer("Embedding-Token").embeddings
    norm = model.model.get_layer("Output-Norm")
    norm.gamma.assign(np.zeros(16))  # whatever was read, the end is the likeliest
    norm.beta.assign(np.asarray(table)[end] * 100)
    (found,) = TextGenerator(model.model, tokenizer, max_new_tokens=5).generate(["he"])
    assert found == ""


def test_the_command_gives_vectors_an_id_for_padding(tmp_path, capsys):
    tokenizer = gpt2_tokenizer()
    values = {"vocab_size": tokenizer.vocab_size, "hidden_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": 24, "pad_token_id": None}  # fmt: skip
    model = build_transformer_model(values, model="gpt2", return_keras_model=False)
    assert model.config.pad_token_id is None
    save_as_huggingface(model, tmp_path / "out", vocab=tokenizer)
    (tmp_path / "texts.txt").write_text("he!\nhe said\n")
    assert main(["encode", str(tmp_path / "out"), str(tmp_path / "texts.txt")]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    (tmp_path / "texts.txt").write_text("he!\n")
    assert main(["encode", str(tmp_path / "out"), str(tmp_path / "texts.txt")]) == 0
    alone = capsys.readouterr().out.splitlines()[0]
    np.testing.assert_allclose(*(np.array(row.split(), float) for row in (first, alone)), atol=1e-6)


@pytest.mark.parametrize("tensor", ["score.weight", "multiple_choice_head.summary.weight"])
def test_heads_that_are_not_built_are_told(tensor, caplog):
    arrays = {**tensors("gpt2_lm"), tensor: np.ones((3, 16), np.float32)}
    with caplog.at_level(logging.INFO, "kerasbert"):
        build_transformer_model(config("gpt2_lm"), arrays)
    assert "it holds a head of fine-tuning, which is not loaded" in caplog.text


@pytest.mark.parametrize("family", ["bert", "roberta", "t5"])
def test_other_families_need_an_id_for_padding(family):
    config_class = find_model(family)[0].config_class
    with pytest.raises(ConfigError, match=r"pad_token_id must be an integer.*Received: None"):
        config_class(50, 16, 1, 2, 24, pad_token_id=None)


def test_openai_s_gpt_that_the_library_cannot_build(tmp_path):
    values = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": 64}  # fmt: skip
    for options in ({"hidden_act": "gelu_erf"}, {"intermediate_size": 40}, {}):
        model = build_transformer_model(
            {
                **values,
                "hidden_act": "gelu_tanh",
                "type_vocab_size": 0 if options else 2,
                **options,
            },
            model="gpt",
        )
        with pytest.raises(ValueError, match=r"has OpenAI's GPT with"):
            save_as_huggingface(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
