"""Byte-level BPE: against the ``tokenizers`` library and its recordings, and on its own."""

from __future__ import annotations

import gzip
import json
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

import tokenizers

from kerasbert.tokenizers import bytelevel, bytelevel_words
from kerasbert.tokenizers.bytelevel_bpe import GPT2_TOKENS, ByteLevelBPETokenizer
from kerasbert.tokenizers.bytelevel_files import read_folder, read_merges, read_vocabulary

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SENTENCES = [
    "The cat sat on the mat, and the other cat didn't mind.",
    "They're saying that we've seen all there is to see; she'll say so.",
    "the/the/the/the",
    "Naïve café, 北京天安门, 我爱北京. In 2019 there were 1024 of them!!",
]
TEXTS = [
    "Hello  the cats'll see 2019!",
    "",
    " ",
    "the",
    " the",
    "  the \n\n mat\t",
    "我爱 北京天安门。",
    "don't 'sit' ''re ' s it'S",
    "naïve 😀 \U0002f9ff \U00100000 \ufdd0 e\u0301 \x00 \x1c\u200b\u3000a",
    "a <mask> b<mask>\u00a0 <mask>",
    "</s> <S> <mask",
]
NASTY = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("'''  \n\t\u00a0\u3000stredvlm12٣aA中é!-<mask>"),
    ),
    max_size=40,
)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder with a small vocabulary, learned here from a few sentences."""
    folder = tmp_path_factory.mktemp("bpe")
    learner = tokenizers.ByteLevelBPETokenizer()
    learner.train_from_iterator(SENTENCES, 320, 2, False, SPECIAL)
    learner.save_model(str(folder))
    learner.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True)])
    learner.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def tokenizer(files) -> ByteLevelBPETokenizer:
    return ByteLevelBPETokenizer(files / "vocab.json", files / "merges.txt")


@pytest.fixture(params=[False, True], ids=["as it is", "prefix space"], scope="session")
def either(request, files) -> ByteLevelBPETokenizer:
    names = files / "vocab.json", files / "merges.txt"
    return ByteLevelBPETokenizer(*names, add_prefix_space=request.param)


def library_of(tokenizer: ByteLevelBPETokenizer) -> tokenizers.Tokenizer:
    """The library alone, put together as Hugging Face's RoBERTa is."""
    config = tokenizer.get_config()
    model = tokenizers.models.BPE(config["vocab"], tokenizer.merges)
    library = tokenizers.Tokenizer(model)
    prefix = config["add_prefix_space"]
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    library.post_processor = tokenizers.processors.RobertaProcessing(
        ("</s>", tokenizer.end_id), ("<s>", tokenizer.start_id), add_prefix_space=prefix
    )
    mask = tokenizers.AddedToken("<mask>", lstrip=True)
    library.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", mask])
    return library


# Words.


@given(NASTY)
def test_words_are_those_of_the_library(text):
    library = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs = [text[start:end] for _, (start, end) in library.pre_tokenize_str(text)]
    assert bytelevel_words.split_words(text) == theirs


def test_classes_of_characters_are_those_of_the_library():
    """Of all that is assigned, and as a run of one class is one word."""
    classes = bytelevel_words.character_classes()
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x40000)]))
    codes = np.array(list(map(ord, text)))
    for pattern, kind in ((r"\p{L}", 1), (r"\p{N}", 2), (r"\s", 3)):
        others = tokenizers.pre_tokenizers.Split(tokenizers.Regex(f"[^{pattern}]+"), "removed")
        theirs = np.zeros(len(text), bool)
        for _, (start, end) in others.pre_tokenize_str(text):
            theirs[start:end] = True
        assert np.array_equal(theirs, classes[codes] == kind), pattern


def test_byte_characters_are_those_of_the_library():
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    assert set(bytelevel_words.byte_characters()) == set(alphabet)
    assert bytelevel_words.byte_characters()[ord(" ")] == "Ġ"
    assert bytelevel_words.byte_characters()[ord("a")] == "a"


# Ids and offsets.


@pytest.mark.smoke
@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_offsets_are_those_of_the_library(either, text):
    theirs = library_of(either).encode(text)
    assert either(text, return_tensors=None)["token_ids"] == theirs.ids
    found = either(text, return_offsets=True, return_tensors=None)
    assert found["token_ids"] == theirs.ids
    for ours, other in zip(found["offsets"], theirs.offsets):
        assert text[slice(*ours)].strip() == text[slice(*other)].strip()


@settings(max_examples=50)
@given(st.lists(NASTY, max_size=8))
def test_batches_are_those_of_the_library(either, texts):
    expected = [found.ids for found in library_of(either).encode_batch(texts)]
    assert either(texts, padding=False, return_tensors=None)["token_ids"] == expected
    again = [*texts, *TEXTS * 4]  # a large batch, for which new words are looked up together
    found = either(again, padding=False, return_tensors=None)["token_ids"]
    assert found[: len(texts)] == expected


def test_a_batch_of_new_words_only(either):
    texts = [f"w{at}x{at * at}" for at in range(200)]
    expected = [found.ids for found in library_of(either).encode_batch(texts)]
    assert either(texts, padding=False, return_tensors=None)["token_ids"] == expected


@pytest.mark.parametrize("variable, value", [("RAYON_NUM_THREADS", "64"), ("OTHER", "1")])
def test_many_cores_and_large_batches(tokenizer, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(bytelevel, "_CHUNK", 1000)
    monkeypatch.setattr(bytelevel, "_CACHED_WORDS", 10)
    texts = [f"{text} {number}" for number in range(30) for text in TEXTS]
    expected = [found.ids for found in library_of(tokenizer).encode_batch(texts)]
    assert tokenizer(texts, padding=False, return_tensors=None)["token_ids"] == expected
    assert len(tokenizer._bpe._current_words()) <= 10 + 1000


@pytest.mark.parametrize(
    "variables, threads",
    [
        ({"RAYON_NUM_THREADS": "3"}, 3),
        ({"RAYON_NUM_THREADS": "3", "TOKENIZERS_PARALLELISM": "false"}, 1),
    ],
)
def test_threads_of_the_library(monkeypatch, variables, threads):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert bytelevel._threads() == threads


@given(NASTY)
def test_offsets_say_where_a_token_came_from(tokenizer, text):
    """Joined, the parts of the text are the text but for spaces; and each holds its token."""
    text = text.replace("<", "")
    found = tokenizer(text, return_offsets=True, return_tensors=None)
    spans = found["offsets"][1:-1]
    assert spans == sorted(spans)
    covered = {at for start, end in spans for at in range(start, end)}
    assert {at for at, char in enumerate(text) if not char.isspace()} <= covered
    for token_id, (start, end) in zip(found["token_ids"][1:-1], spans):
        token = tokenizer.decode([token_id])
        assert "\ufffd" in token or text[start:end] == token.removeprefix(" ") or token.isspace()


def test_offsets_with_the_space_before_a_word(files):
    names = files / "vocab.json", files / "merges.txt"
    found = [
        ByteLevelBPETokenizer(*names, trim_offsets=trim)("the the", return_offsets=True)["offsets"]
        for trim in (True, False)
    ]
    assert [rows[2].tolist() for rows in found] == [[4, 7], [3, 7]]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_decoding_gives_the_text_back(tokenizer, text):
    text = text.replace("<", "(")
    assert tokenizer.decode(tokenizer.encode(text)[0]) == text


def test_decoding_half_a_character_and_added_tokens(files):
    tokenizer = ByteLevelBPETokenizer.from_pretrained(files, added_tokens=["<新>"])
    ids = tokenizer.encode("é\u0378<新>é")[0]
    assert tokenizer.decode(ids) == "é\u0378<新>é"
    assert tokenizer.decode(ids[:2]) == "\ufffd"
    assert tokenizer.decode([], tokens=["<s>", "Ġa", "<mask>", "b"]) == " ab"


def test_lone_surrogates_are_replaced(tokenizer):
    for text in ("a\ud83db", "\udc00"):
        clean = text.replace("\ud83d", "\ufffd").replace("\udc00", "\ufffd")
        expected = tokenizer(clean, return_offsets=True, return_tensors=None)
        assert tokenizer(text, return_tensors=None)["token_ids"] == expected["token_ids"]
        assert tokenizer(text, return_offsets=True, return_tensors=None) == expected
        batch = tokenizer([text] * 500, padding=False, return_tensors=None)
        assert batch["token_ids"] == [expected["token_ids"]] * 500


def test_bytes_that_the_vocabulary_lacks():
    vocabulary = {token: at for at, token in enumerate([*SPECIAL, "a", "b", "ab"])}
    tokenizer = ByteLevelBPETokenizer(vocabulary, ["a b"])
    expected = ["<s>", "ab", "<unk>", "a", "<unk>", "<unk>", "b", "</s>"]
    assert tokenizer.tokenize("abcaéb") == expected
    without = ByteLevelBPETokenizer(vocabulary, ["a b"], token_unk=None)
    assert without.tokenize("abcaéb") == ["<s>", "ab", "ab", "</s>"]


# Templates and options.


def test_roberta_puts_two_separators_into_pairs(tokenizer):
    found = tokenizer("the cat", "the mat", return_tensors=None)
    the, cat, mat = (tokenizer.tokenize(word)[1:-1] for word in ("the", " cat", " mat"))
    expected = ["<s>", *the, *cat, "</s>", "</s>", *the, *mat, "</s>"]
    assert tokenizer.ids_to_tokens(found["token_ids"]) == expected
    assert set(found["segment_ids"]) == {0}
    assert tokenizer.encode("the cat", "the mat") == (found["token_ids"], found["segment_ids"])


def test_gpt2_puts_nothing_around_a_text(files):
    vocabulary = read_vocabulary(files / "vocab.json")
    vocabulary["<|endoftext|>"] = len(vocabulary)
    tokenizer = ByteLevelBPETokenizer(vocabulary, files / "merges.txt", **GPT2_TOKENS)
    assert tokenizer.tokenize("the cat")[0] == "the"
    assert tokenizer.tokenize("<|endoftext|>the") == ["<|endoftext|>", "the"]
    with pytest.raises(ValueError, match="no padding token"):
        tokenizer(["the", "the cat"])


def test_masks_in_a_text(files, tokenizer):
    tokens = tokenizer.tokenize("the <mask> cat")
    assert tokens == ["<s>", "the", "<mask>", *tokenizer.tokenize(" cat")[1:]]
    split = ByteLevelBPETokenizer.from_pretrained(files, keep_special_tokens=False)
    assert "<mask>" not in split.tokenize("the <mask> cat")
    assert split.decode(split.encode("the <mask> cat</s>")[0]) == "the <mask> cat</s>"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_prefix_space": True, "trim_offsets": False, "keep_special_tokens": ["Ġthe"]},
        {"added_tokens": ["<new>"], "padding_side": "left", "model_max_length": 12},
    ],
)
def test_config_and_pickle(files, options):
    tokenizer = ByteLevelBPETokenizer.from_pretrained(files, **options)
    config = tokenizer.get_config()
    assert {name: config[name] for name in options} == options
    json.dumps(config)
    for again in (
        ByteLevelBPETokenizer.from_config(config),
        pickle.loads(pickle.dumps(tokenizer)),
    ):
        assert again.get_config() == config
        expected = tokenizer([*TEXTS, "<new> Ġthe"], return_offsets=True)
        for name, rows in again([*TEXTS, "<new> Ġthe"], return_offsets=True).items():
            assert rows.tolist() == expected[name].tolist()


# Files.


def test_tokenizer_json_and_folders(files, tokenizer, tmp_path):
    alone = ByteLevelBPETokenizer(files / "tokenizer.json")
    assert (alone.token_dict, alone.merges) == (tokenizer.token_dict, tokenizer.merges)
    (tmp_path / "tokenizer.json").write_bytes((files / "tokenizer.json").read_bytes())
    for folder in (files, tmp_path):
        found = ByteLevelBPETokenizer.from_pretrained(folder)
        assert found.tokenize("They're <mask>") == tokenizer.tokenize("They're <mask>")


def test_settings_beside_the_vocabulary(files, tmp_path):
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    (tmp_path / "special_tokens_map.json").write_text(
        '{"pad_token": {"content": "</s>"}, "cls_token": "</s>"}', encoding="utf-8"
    )
    (tmp_path / "tokenizer_config.json").write_text(
        '{"add_prefix_space": true, "cls_token": "<s>", "bos_token": null}', encoding="utf-8"
    )
    tokenizer = ByteLevelBPETokenizer.from_pretrained(tmp_path)
    assert tokenizer.tokenize("the") == tokenizer.tokenize(" the")
    assert (tokenizer.pad_id, tokenizer.start_id) == (tokenizer.end_id, 0)
    own = ByteLevelBPETokenizer.from_pretrained(tmp_path, add_prefix_space=False)
    assert own.tokenize("the") != own.tokenize(" the")


def test_files_of_gpt2_and_fairseq(files, tmp_path):
    vocabulary = read_vocabulary(files / "vocab.json")
    tokens = [token for token in vocabulary if token not in SPECIAL]
    encoder = {token: at for at, token in enumerate([*tokens, "<|endoftext|>"])}
    (tmp_path / "encoder.json").write_text(json.dumps(encoder))
    (tmp_path / "vocab.bpe").write_bytes((files / "merges.txt").read_bytes())
    gpt2 = ByteLevelBPETokenizer.from_pretrained(tmp_path)
    assert gpt2.encode("the cat")[0] == [encoder[token] for token in gpt2.tokenize("the cat")]
    assert (gpt2.start_id, gpt2.pad_id, gpt2.unk_id) == (None, None, len(tokens))

    order = [7, 3, *range(8, len(tokens)), 0, 1, 2, 4, 5, 6]
    lines = [f"{at} {1000 - at}" for at in order] + ["madeupword0000 0"]
    (tmp_path / "dict.txt").write_text("\n".join(lines) + "\n")
    fairseq = ByteLevelBPETokenizer.from_pretrained(tmp_path)
    assert fairseq.ids_to_tokens(range(6)) == [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        tokens[7],
        tokens[3],
    ]
    assert fairseq.mask_id == fairseq.vocab_size - 1 == len(tokens) + 5
    assert fairseq.tokenize("the cat")[1:-1] == gpt2.tokenize("the cat")
    (tmp_path / "dict.txt").write_text("99999 1\n")
    with pytest.raises(ValueError, match="'99999', which is not in encoder"):
        ByteLevelBPETokenizer.from_pretrained(tmp_path)


def test_a_comment_and_windows_line_ends(tmp_path):
    path = tmp_path / "merges.txt"
    path.write_bytes("#version: 0.2\r\n# #\r\nĠ t\r\n\r\n".encode())
    assert read_merges(path) == [("#", "#"), ("Ġ", "t")]
    path.write_text("# #\n", encoding="utf-8")
    assert read_merges(path) == [("#", "#")]


@pytest.mark.parametrize(
    "vocabulary",
    [[], ["a"], {"a": "1"}, {"a": -1}, {"a": True}, {"a": 1.0}, {1: 1}, {"a": 0, "b": 0}, None],
)
def test_wrong_vocabularies(vocabulary):
    with pytest.raises(ValueError, match=r"the vocabulary (must map|gives the same)"):
        ByteLevelBPETokenizer(vocabulary, [])


@pytest.mark.parametrize(
    "merges", [["a b", "c"], ["a b", "a b c"], ["a b", ("a", 1)], ["a b", " "]]
)
def test_wrong_merges(merges):
    with pytest.raises(ValueError, match="merges must hold pairs of tokens, but number 1"):
        read_merges(merges)


def test_files_of_two_models(files):
    vocabulary = {token: at for at, token in enumerate([*SPECIAL, "a", "b"])}
    with pytest.raises(ValueError, match=r"lacks 1 of theirs, such as \['ab'\]"):
        ByteLevelBPETokenizer(vocabulary, ["a b"])
    with pytest.raises(ValueError, match="alone is not enough"):
        ByteLevelBPETokenizer(vocabulary)
    with pytest.raises(ValueError, match=r"token_start.*near|token_start '\[CLS\]'"):
        ByteLevelBPETokenizer(files / "vocab.json", files / "merges.txt", token_start="[CLS]")


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        '{"model": {"type": "Unigram"}}',
        '{"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Metaspace"}}',
        '{"model": {"type": "BPE"}, "pre_tokenizer": {"type": "ByteLevel", "use_regex": false}}',
        '{"model": [], "pre_tokenizer": "ByteLevel"}',
        '{"model": {"vocab": 3}, "pre_tokenizer": {"type": "ByteLevel"}}',
        '{"pre_tokenizer": {"type": "Sequence", "pretokenizers": [3]}}',
    ],
)
def test_other_tokenizer_json_files(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match=r"tokenizer\.json is not|vocabulary must map"):
        read_folder(tmp_path)


def test_a_folder_without_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"vocab\.json with merges\.txt"):
        read_folder(tmp_path)


def test_without_the_library(monkeypatch, files):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install 'kerasbert\[bpe\]'"):
        ByteLevelBPETokenizer(files / "vocab.json", files / "merges.txt")


# Recorded results.


def read(path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def roberta(shared):
    folder = shared / "golden/huggingface/tokenizers/roberta"
    return ByteLevelBPETokenizer.from_pretrained(folder), folder


def test_all_recorded_lines(roberta):
    tokenizer, folder = roberta
    cases = read(folder / "cases.jsonl.gz")
    assert len(cases) > 2000 and any("<mask>" in case["text"] for case in cases)
    for case in cases:
        assert tokenizer.encode(case["text"])[0] == case["ids"], case["text"]
    texts = [case["text"] for case in cases]
    for found in (tokenizer(texts, padding=False), tokenizer(texts * 3, padding=False)):
        assert all(row.tolist() == case["ids"] for row, case in zip(found["token_ids"], cases))
    found = tokenizer(texts, padding=False, return_offsets=True)
    for ids, spans, case in zip(found["token_ids"], found["offsets"], cases):
        assert (ids.tolist(), spans.tolist()) == (case["ids"], case["offsets"]), case["text"]
        if not case.get("special_in_text") and not any(token in case["text"] for token in SPECIAL):
            assert tokenizer.decode(case["ids"]) == case["text"]


def test_recorded_lines_with_a_space_before(roberta):
    tokenizer, folder = roberta
    config = tokenizer.get_config()
    prefixed = ByteLevelBPETokenizer.from_config({**config, "add_prefix_space": True})
    library = library_of(prefixed)
    texts = [case["text"] for case in read(folder / "cases.jsonl.gz")]
    found = prefixed(texts, padding=False, return_tensors=None)["token_ids"]
    assert found == [one.ids for one in library.encode_batch(texts)]
    assert prefixed.encode("Hello")[0] == tokenizer.encode(" Hello")[0]
    assert prefixed.encode("Hello")[0] != tokenizer.encode("Hello")[0]


def test_recorded_pairs(roberta):
    tokenizer, folder = roberta
    cases = read(folder / "pairs.jsonl.gz")
    firsts, seconds = zip(*((case["text"], case["text_pair"]) for case in cases))
    found = tokenizer(firsts, seconds, max_length=48, padding=False)
    for ids, segments, case in zip(found["token_ids"], found["segment_ids"], cases):
        assert (ids.tolist(), segments.tolist()) == (case["ids"], case["type_ids"])


@pytest.mark.parametrize("name", ["roberta_2019", "roberta_2020", "roberta_2021"])
def test_recorded_fairseq_vocabulary(shared, name):
    folder = shared / "golden/huggingface/fairseq" / name
    expected = json.loads((folder / "hf_vocab.json").read_text(encoding="utf-8"))
    assert ByteLevelBPETokenizer.from_pretrained(folder).token_dict == expected
