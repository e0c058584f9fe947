"""The model that comes with the package."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import Tokenizer, build_transformer_model, hub


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("KERASBERT_OFFLINE", "1")
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["kerasbert-mini-zh", "KERASBERT_MINI_ZH", "mini_zh"])
def test_its_names(name):
    path = hub.fetch(name)
    assert path.name == "kerasbert-mini-zh.zip" and path.stat().st_size < 8_000_000
    assert hub.find(name).licence == "Apache-2.0"


def test_a_file_of_the_person_counts_before_it(tmp_path):
    own = hub.folder_of(hub.find("mini_zh")) / "kerasbert-mini-zh.zip"
    own.parent.mkdir(parents=True)
    own.write_bytes(hub.fetch("mini_zh").read_bytes())
    assert hub.fetch("mini_zh") == own


def test_it_loads_with_all_heads_and_knows_a_little():
    tokenizer = Tokenizer.from_pretrained("kerasbert-mini-zh")
    model = build_transformer_model("kerasbert-mini-zh", with_pool="linear", with_mlm="linear")
    inputs = tokenizer(["他说道：“你是什么人？”", "第三条 本法自公布之日起施行。"])
    pooled, logits = model.predict([inputs["token_ids"], inputs["segment_ids"]], verbose=0)
    assert pooled.shape == (2, 192) and logits.shape[-1] == len(tokenizer.all_tokens) == 8000
    # what is not masked is mostly seen to be what it is
    real = inputs["attention_mask"] > 0
    found = np.argmax(logits, -1) == inputs["token_ids"]
    assert found[real].mean() > 0.1
