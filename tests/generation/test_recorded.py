"""Token for token and score for score what the original code and Hugging Face generated."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kerasbert import Tokenizer, build_transformer_model
from kerasbert.generation import TextGenerator
from tests.generation.models import Ids
from tests.golden_cases import HERE, SHARED

DECODE = json.loads((HERE / "google" / "b4k" / "decode.json").read_text())
VARIANTS = {
    "greedy": {},
    "beam3": {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 1.0},
    "beam3_early": {"num_beams": 3, "length_penalty": 1.0, "early_stopping": True},
    "beam3_lp0": {"num_beams": 3, "num_return_sequences": 3},
    "beam3_lp2": {"num_beams": 3, "length_penalty": 2.0},
}


@pytest.fixture(scope="module")
def bert_gelu():
    folder = HERE / "google" / "bert_gelu"
    model = build_transformer_model(folder, application="unilm", hidden_act="gelu_tanh")
    return model, Tokenizer(folder / "vocab.txt", do_lower_case=True)


@pytest.mark.either
@pytest.mark.slow
@pytest.mark.parametrize("use_cache", [True, False], ids=["cache", "whole"])
def test_bert4keras_decode(bert_gelu, use_cache):
    """Greedily what it generates; with beams that, or a text that scores higher.

    bert4keras drops texts that have ended unless they lead, so it may end with a worse one. Cases
    with a first token of the answer, a temperature or a least length are its decoder's own, which
    tests/generation/test_autoregressive.py reproduces.
    """
    model, tokenizer = bert_gelu
    cases = [
        case
        for case in DECODE["cases"]
        if case.get("start_id") is None and case.get("temperature", 1) == 1 and case["minlen"] == 1
    ]
    equal = 0
    for end_id in sorted({case["end_id"] for case in cases}):
        tokenizer.end_id = end_id
        generator = TextGenerator(model, tokenizer, use_cache=use_cache)
        for case in (case for case in cases if case["end_id"] == end_id):
            found = generator.generate(
                case["source_token_ids"],
                max_new_tokens=case["maxlen"],
                num_beams=case["topk"],
                return_details=True,
            )
            same = found.token_ids + [end_id] * found.finished == case["output_ids"]
            equal += same
            if case["topk"] == 1 or same:
                assert same
                assert found.score == pytest.approx(case["score"], abs=1e-4)
            else:
                assert found.score > case["score"]
    assert equal > len(cases) * 0.6


def _hf(name: str):
    committed = HERE / "huggingface" / "hf" / name
    folder = committed if (committed / "golden.npz").exists() else SHARED / "huggingface/hf" / name
    if not (folder / "golden.npz").exists():
        pytest.skip("needs the shared golden files")
    arrays = np.load(folder / "golden.npz")
    if name != "bert_decoder" and "out.greedy.sequences" not in arrays:
        folder = SHARED / "huggingface/hf" / name
        if not folder.exists():
            pytest.skip("needs the shared golden files")
        arrays = np.load(folder / "golden.npz")
    return folder, arrays


def _padded(found, end_id: int, length: int) -> list[int]:
    tokens = found.token_ids + [end_id] * found.finished
    return tokens + [0] * (length - len(tokens))


@pytest.mark.slow
@pytest.mark.parametrize("use_cache", [True, False], ids=["cache", "whole"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_hugging_face_decoder(variant, use_cache):
    folder, arrays = _hf("bert_decoder")
    prompts, wanted = arrays["in.gen.input_ids"], arrays[f"out.{variant}.sequences"]
    model = build_transformer_model(folder, application="lm", with_mlm="linear")
    generator = TextGenerator(model, Ids(3), use_cache=use_cache)
    found = generator.generate(
        prompts.tolist(), max_new_tokens=14, return_details=True, **VARIANTS[variant]
    )
    flat = [text for texts in found for text in (texts if isinstance(texts, list) else [texts])]
    assert [_padded(text, 3, 14) for text in flat] == wanted[:, prompts.shape[1] :].tolist()
    if f"out.{variant}.sequences_scores" in arrays:
        scores = arrays[f"out.{variant}.sequences_scores"]
        np.testing.assert_allclose([text.score for text in flat], scores, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("use_cache", [True, False], ids=["cache", "whole"])
def test_hugging_face_unilm(use_cache):
    folder, arrays = _hf("bert_unilm")
    model = build_transformer_model(folder, application="unilm", with_mlm="linear")
    generator = TextGenerator(model, Ids(3), use_cache=use_cache)
    found = generator.generate(
        arrays["in.greedy.source_ids"].tolist(), max_new_tokens=12, return_details=True
    )
    rows = [text.token_ids + [3] * text.finished for text in found]
    wanted = [[int(i) for i in row if i >= 0] for row in arrays["out.greedy.generated"]]
    assert rows == wanted
    logits = arrays["out.greedy.step_logits"].astype("float64")
    of_tokens = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for text, row, steps in zip(found, wanted, of_tokens):
        score = sum(steps[place, token] for place, token in enumerate(row))
        assert text.score == pytest.approx(score, abs=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("use_cache", [True, False], ids=["cache", "whole"])
@pytest.mark.parametrize("name", ["t5", "t5_v11", "mt5"])
def test_hugging_face_t5(name, use_cache):
    folder, arrays = _hf(name)
    model = build_transformer_model(folder, with_lm="linear")
    generator = TextGenerator(model, Ids(1), use_cache=use_cache)
    lengths = arrays["in.pad.attention_mask"].sum(1)
    sources = [row[:n].tolist() for row, n in zip(arrays["in.pad.input_ids"], lengths)]
    wanted = arrays["out.greedy.sequences"][:, 1:]
    found = generator.generate(sources, max_new_tokens=wanted.shape[1], return_details=True)
    assert [_padded(text, 1, wanted.shape[1]) for text in found] == wanted.tolist()
