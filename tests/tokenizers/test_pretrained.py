"""Tokenizer.from_pretrained: the class and the settings that the files of a folder ask for."""

from __future__ import annotations

import json
import zipfile

import pytest

from kerasbert.checkpoints.source import CheckpointNotFoundError
from kerasbert.tokenizers import BaseTokenizer, Tokenizer
from tests.tokenizers.classes import make_bytelevel, make_sentencepiece
from tests.tokenizers.conftest import make_tokens


def write(folder, **files):
    """Writes files: text as it is, other values as JSON; "__" stands for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def vocabulary() -> str:
    return "\n".join(make_tokens()) + "\n"


def config_of(folder) -> dict:
    return Tokenizer.from_pretrained(folder).get_config()


# WordPiece.


def test_settings_of_hugging_face(tmp_path, vocabulary):
    settings = {
        "do_lower_case": True,
        "strip_accents": False,
        "tokenize_chinese_chars": False,
        "padding_side": "left",
        "model_max_length": 8,
        "cls_token": "a",
        "tokenizer_class": "BertTokenizer",
    }
    special = {"sep_token": {"content": "b", "lstrip": False}, "mask_token": "[MASK]"}
    folder = write(
        tmp_path,
        vocab__txt=vocabulary,
        tokenizer_config__json=settings,
        special_tokens_map__json=special,
    )
    tokenizer = Tokenizer.from_pretrained(folder)
    expected = {"token_start": "a", "token_end": "b", "token_mask": "[MASK]"}
    expected.update({name: settings[name] for name in settings if name in tokenizer.get_config()})
    assert len(expected) == 8
    assert {name: tokenizer.get_config()[name] for name in expected} == expected
    found = tokenizer(["É HELLO 我爱", "a " * 20])
    assert found["token_ids"].shape == (2, 8)
    tokens = tokenizer.ids_to_tokens(found["token_ids"][0].tolist())
    assert tokens == ["[PAD]"] * 2 + ["a", "é", "hello", "我", "##爱", "b"]
    own = Tokenizer.from_pretrained(folder, padding_side="right", model_max_length=None)
    assert own(["a " * 20])["token_ids"].shape == (1, 22)


@pytest.mark.parametrize("length", [1e30, 10**30, "512", None, 0])
def test_lengths_that_are_none(tmp_path, vocabulary, length):
    settings = {"model_max_length": length}
    write(tmp_path, vocab__txt=vocabulary, tokenizer_config__json=settings)
    assert config_of(tmp_path)["model_max_length"] is None


def test_case_is_read_where_it_is_said(tmp_path, vocabulary):
    cased = "\n".join([*make_tokens(), "Hello"])
    write(tmp_path, vocab__txt=cased)
    assert config_of(tmp_path)["do_lower_case"] is False
    assert config_of(tmp_path)["strip_accents"] is None
    write(tmp_path, tokenizer__json={"normalizer": {"type": "BertNormalizer", "lowercase": True}})
    assert config_of(tmp_path)["do_lower_case"] is True
    write(tmp_path, tokenizer_config__json={"do_lower_case": False})
    assert config_of(tmp_path)["do_lower_case"] is False


def test_a_cased_multilingual_vocabulary_keeps_accents(tmp_path):
    """LaBSE and multilingual BERT, cased: neither the case nor the accents are touched."""
    tokens = [*make_tokens(), "École", "ecole"]
    write(tmp_path, vocab__txt="\n".join(tokens), config__json={"hidden_size": 8})
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.tokenize("École Écoleéï")[1:-1] == ["École", "École", "##é", "##ï"]


def test_added_tokens(tmp_path, vocabulary):
    size = len(make_tokens())
    folder = write(
        tmp_path,
        vocab__txt=vocabulary,
        added_tokens__json={"</e1>": size + 1, "<e1>": size},
        special_tokens_map__json={"additional_special_tokens": ["<e1>", "[unused1]"]},
        tokenizer_config__json={
            "added_tokens_decoder": {
                "0": {"content": "[PAD]", "special": True},
                str(size): {"content": "<e1>"},
            }
        },
    )
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer.added_tokens == ["<e1>", "</e1>", "[unused1]"]
    assert tokenizer.vocab_size == size + 2
    assert tokenizer.encode("<e1>a</e1>")[0][1:-1] == [size, tokenizer.token_to_id("a"), size + 1]
    assert tokenizer.tokenize("[unused1]")[1:-1] == ["[unused1]"]
    assert "[MASK]" not in tokenizer.tokenize("[MASK]")
    write(tmp_path, added_tokens__json={"</e1>": size + 7})
    with pytest.raises(ValueError, match=r"lists '</e1>' with id \d+, but with vocab.txt it is"):
        Tokenizer.from_pretrained(folder)


def test_tokenizer_json_alone(tmp_path):
    tokens = make_tokens()
    content = {
        "added_tokens": [{"id": len(tokens), "content": "<e1>", "special": False}],
        "normalizer": {
            "type": "BertNormalizer",
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: at for at, token in enumerate(tokens)},
        },
    }
    write(tmp_path, tokenizer__json=content)
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.encode("Hello 我<e1>")[0] == [
        *[2, tokens.index("hello"), tokens.index("我"), len(tokens), 3]
    ]
    assert tokenizer.get_config()["word_maxlen"] == 100
    assert Tokenizer.from_pretrained(tmp_path / "tokenizer.json").get_config() == (
        tokenizer.get_config()
    )
    content["model"] = {"type": "Unigram", "vocab": [["a", 0.0]]}
    write(tmp_path, tokenizer__json=content)
    with pytest.raises(ValueError, match=r"the \*.model file is needed"):
        Tokenizer.from_pretrained(tmp_path)


def test_a_vocabulary_of_words_is_cut_into_words(tmp_path, vocabulary):
    words = [a + b for a in "天地人你我他大小上下" * 10 for b in map(chr, range(0x4E00, 0x4E80))]
    words = list(dict.fromkeys(["北京", *words]))
    assert len(words) > 1000
    write(tmp_path, vocab__txt="\n".join([*make_tokens(), *words]))
    assert config_of(tmp_path)["pre_tokenize"] == {"name": "auto", "user_dict": [], "hmm": False}
    assert Tokenizer.from_pretrained(tmp_path, pre_tokenize=None).pre_tokenize is None
    write(tmp_path, vocab__txt=vocabulary)
    assert config_of(tmp_path)["pre_tokenize"] is None


# The other classes.


def class_of(folder) -> str:
    return type(Tokenizer.from_pretrained(folder)).__name__


def test_the_class_fits_the_files(tmp_path, vocabulary):
    spm = make_sentencepiece("albert")
    spiece = spm.files()["spiece.model"]
    write(tmp_path / "spm", spiece__model=spiece, albert_config__json={"hidden_size": 8})
    assert class_of(tmp_path / "spm") == "SentencePieceTokenizer"
    write(tmp_path / "both", spiece__model=spiece, vocab__txt=vocabulary)
    assert class_of(tmp_path / "both") == "Tokenizer"
    bpe = make_bytelevel().files()
    folder = tmp_path / "bpe"
    write(folder, vocab__json=bpe["vocab.json"], merges__txt=bpe["merges.txt"])
    assert class_of(folder) == "ByteLevelBPETokenizer"
    assert class_of(folder / "vocab.json") == "ByteLevelBPETokenizer"
    general = BaseTokenizer.from_pretrained(folder)
    assert general.encode("hello")[0] == make_bytelevel().encode("hello")[0]
    with pytest.raises(ValueError, match=r"is of a Tokenizer \(vocab.txt\), not of a SentenceP"):
        type(spm).from_pretrained(tmp_path / "both")


class Own(Tokenizer):
    """A class of a user's."""


def test_a_class_of_ones_own_is_kept(tmp_path, vocabulary):
    write(tmp_path, vocab__txt=vocabulary)
    assert type(Own.from_pretrained(tmp_path)) is Own
    assert type(Own.from_pretrained(tmp_path / "vocab.txt")) is Own


@pytest.mark.parametrize(
    ("model", "name", "files", "flavour"),
    [
        ("albert", "spiece.model", {"config.json": {"model_type": "albert"}}, "albert"),
        ("albert", "30k-clean.model", {}, "albert"),
        ("albert", "x.model", {"albert_config.json": {"num_hidden_groups": 1}}, "albert"),
        ("albert", "spiece.model", {}, "albert"),
        ("albert", "sentencepiece.model", {"config.json": {"model_type": "rembert"}}, "rembert"),
        ("xlnet", "spiece.model", {}, "xlnet"),
        ("xlnet", "spiece.model", {"xlnet_config.json": {"untie_r": True}}, "xlnet"),
        ("xlm_roberta", "sentencepiece.bpe.model", {}, "xlm_roberta"),
        ("xlm_roberta", "m.model", {"config.json": {"model_type": "xlm-roberta"}}, "xlm_roberta"),
        ("t5", "spiece.model", {"config.json": {"model_type": "mt5"}}, "t5"),
        (
            "t5",
            "spiece.model",
            {"tokenizer_config.json": {"tokenizer_class": "T5TokenizerFast"}},
            "t5",
        ),
    ],
)
def test_flavours(tmp_path, model, name, files, flavour):
    content = next(iter(make_sentencepiece(model)._vocabulary_files().values()))[1]
    (tmp_path / name).write_bytes(content)
    for other, value in files.items():
        value = value if other.startswith("tokenizer") else {"hidden_size": 8, **value}
        (tmp_path / other).write_text(json.dumps(value))
    assert Tokenizer.from_pretrained(tmp_path).flavour == flavour


# Where files lie.


def test_folders_archives_and_files(tmp_path, vocabulary):
    folder = write(tmp_path / "a" / "nested", vocab__txt=vocabulary)
    expected = config_of(folder)
    assert config_of(tmp_path / "a") == expected
    assert config_of(folder / "vocab.txt") == expected
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(folder / "vocab.txt", "a/vocab.txt")
    assert config_of(tmp_path / "a.zip") == expected


def test_nothing_there(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path / "home"))
    with pytest.raises(CheckpointNotFoundError, match=r"vocab.txt.*tokenizer.json"):
        Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(CheckpointNotFoundError, match="there is no checkpoint at"):
        Tokenizer.from_pretrained(tmp_path / "none")
    with pytest.raises(CheckpointNotFoundError, match="is not on this machine"):
        Tokenizer.from_pretrained("bert-base-chinese")


@pytest.mark.parametrize(
    "name", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
)
@pytest.mark.parametrize("content", ["[1]", "{", "\ud800".encode("utf-8", "surrogatepass")])
def test_broken_settings(tmp_path, vocabulary, name, content):
    write(tmp_path, vocab__txt=vocabulary)
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name} is not a JSON object"):
        Tokenizer.from_pretrained(tmp_path)


# Saved folders.


@pytest.mark.parametrize(
    "tokens",
    [
        [*make_tokens(), None, "x y"],
        [*make_tokens(), "\ud800"],
        [*make_tokens(), "", ""],
        [*make_tokens(), "a\u2028b"],
    ],
    ids=["holes", "surrogate", "empty lines", "separator"],
)
def test_vocabularies_that_a_file_cannot_hold(tmp_path, tokens):
    tokenizer = Tokenizer(tokens)
    tokenizer.save(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path)
    assert again.get_config() == tokenizer.get_config()


def test_a_saved_folder_that_was_changed(tmp_path, vocabulary):
    Tokenizer(make_tokens()).save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    for section, message in [
        ({"class": "Tokeniser", "config": {}}, "names the class 'Tokeniser'"),
        ({"class": "Tokenizer"}, "names the class 'Tokenizer'"),
    ]:
        path.write_text(json.dumps({**settings, "kerasbert": section}))
        with pytest.raises(ValueError, match=message):
            Tokenizer.from_pretrained(tmp_path)
    for name in ("../vocab.txt", "gone.txt"):
        section = {**settings["kerasbert"], "files": {"token_dict": name}}
        path.write_text(json.dumps({**settings, "kerasbert": section}))
        with pytest.raises(CheckpointNotFoundError, match="does not lie in"):
            Tokenizer.from_pretrained(tmp_path)


def test_saving_again_leaves_no_other_files(tmp_path):
    tokenizer = Tokenizer(make_tokens(), do_lower_case=True)
    tokenizer.save(tmp_path / "new" / "folder")
    tokenizer.save(tmp_path / "new" / "folder")
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == ["tokenizer_config.json", "vocab.txt"]
