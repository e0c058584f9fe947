"""A vocabulary that is not the model's is said at first use."""

from __future__ import annotations

import json
import logging
import zipfile

import numpy as np
import pytest

from kerasbert import Tokenizer, build_transformer_model, data, save_weights_as_checkpoint
from kerasbert.backend import keras
from kerasbert.tokenizers import check_vocabulary
from tests.tiny import CONFIG, bert_tensors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHINESE = [chr(code) for code in range(0x4E00, 0x4E00 + 45)]


@pytest.fixture(scope="module")
def model():
    return build_transformer_model(CONFIG, bert_tensors())


def test_too_many_tokens(model):
    tokenizer = Tokenizer([*SPECIAL, *CHINESE, "more"])
    message = "tokenizer has 51 tokens, but the model's token embedding only 50 rows.*beside the"
    with pytest.raises(ValueError, match=message):
        tokenizer.check(model)
    outer = keras.Model(model.inputs, model(model.inputs))
    with pytest.raises(ValueError, match=message):
        check_vocabulary(outer, tokenizer)
    with pytest.raises(ValueError, match=message):
        data.predict(model, ["一"], tokenizer=tokenizer, verbose=0)


def test_added_tokens_need_rows(model):
    tokenizer = Tokenizer([*SPECIAL, *CHINESE])
    tokenizer.check(model)
    tokenizer.add_tokens(["<e1>", "</e1>"])
    with pytest.raises(ValueError, match=r"2 tokens were added: .*compound_tokens"):
        tokenizer.check(model)
    larger = build_transformer_model(CONFIG, bert_tensors(), compound_tokens=[[4], [4, 5]])
    tokenizer.check(larger)
    table = larger.get_layer("Embedding-Token").get_weights()[0]
    np.testing.assert_allclose(table[51], table[4:6].mean(axis=0), rtol=1e-6)
    inputs = [array[np.newaxis] for array in tokenizer("一<e1>丁</e1>").values()][:2]
    assert larger.predict(inputs, verbose=0).shape[:2] == (1, 6)


def test_spare_rows(model, caplog):
    with caplog.at_level(logging.WARNING, "kerasbert"):
        Tokenizer(SPECIAL).check(model)
        assert not caplog.records  # padded tables are usual

        class Large:
            name, input_dim, layers = "A-Embedding-Token", 500, ()

        class Outer:
            layers = (Large,)

        check_vocabulary(Outer, Tokenizer(SPECIAL))
    assert "500 rows, the tokenizer 5 tokens" in caplog.text


def test_models_without_a_known_embedding():
    check_vocabulary(keras.Sequential([keras.layers.Dense(2)]), Tokenizer(SPECIAL))
    check_vocabulary(object(), Tokenizer(SPECIAL))


def test_a_checkpoint_is_saved_with_its_tokenizer(model, tmp_path):
    tokenizer = Tokenizer([*SPECIAL, *CHINESE[:-1]], do_lower_case=False, added_tokens=["<e1>"])
    path = save_weights_as_checkpoint(model, tmp_path / "mine.zip", vocab=tokenizer)
    again = Tokenizer.from_pretrained(path)
    assert again.get_config()["do_lower_case"] is False  # which the vocabulary does not say
    assert again.all_tokens == tokenizer.all_tokens
    assert again.encode("一<e1>")[0] == tokenizer.encode("一<e1>")[0] == [2, 5, 49, 3]
    with zipfile.ZipFile(path) as archive:
        assert len(archive.read("mine/vocab.txt").decode().splitlines()) == 50
        settings = json.loads(archive.read("mine/tokenizer_config.json"))
    assert settings["tokenizer_class"] == "BertTokenizer"
    with pytest.raises(ValueError, match="51 tokens"):
        large = Tokenizer([*SPECIAL, *CHINESE, "more"])
        save_weights_as_checkpoint(model, tmp_path / "other.zip", vocab=large)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.zip"]


def test_a_function_is_no_reason_not_to_save_a_model(model, tmp_path, caplog):
    tokenizer = Tokenizer([*SPECIAL, *CHINESE], pre_tokenize=list)
    with caplog.at_level(logging.WARNING, "kerasbert"):
        save_weights_as_checkpoint(model, tmp_path / "a.ckpt", vocab=tokenizer)
    assert "only the vocabulary is written" in caplog.text
    assert (tmp_path / "vocab.txt").is_file()
    assert not (tmp_path / "tokenizer_config.json").exists()
    with pytest.raises(TypeError, match="name a segmenter"):
        tokenizer.save(tmp_path / "tokenizer")
    assert not (tmp_path / "tokenizer").exists()
