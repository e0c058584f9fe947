"""Every block of Python in the pages runs, and every command and link in them exists.

The blocks of a page run one after the other, as a reader would type them, in a folder with tiny
checkpoints and data under the names that the pages use.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shlex
import tokenize
import zipfile
from pathlib import Path

import pytest

from examples import demo
from kerasbert import build_transformer_model, cli, save_weights_as_checkpoint
from kerasbert.backend import keras
from kerasbert.models import registry
from kerasbert.tokenizers.bytelevel_words import byte_characters
from pretraining.settings import Settings
from tests.tokenizers.sentencepiece_models import MODELS

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "README_zh.md", *sorted(CHECKOUT.glob("docs/*.md"))]
ENGLISH, CHINESE = PAGES[:2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 128,
}
CHECKPOINTS = {
    "chinese_L-12_H-768_A-12": {"with_nsp": True, "with_mlm": True},
    "chinese_simbert_L-4_H-312_A-12": {"with_pool": True, "with_mlm": True},
}


def name_of(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """(number of lines before it, text) of every block in that language."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start(2)), match[2])
        for match in BLOCK.finditer(text)
        if match[1] == language
    ]


# Python


@pytest.fixture(scope="module")
def tiny_checkpoints(tmp_path_factory) -> Path:
    """Archives under published names, with a vocabulary of every character in the pages."""
    folder = tmp_path_factory.mktemp("checkpoints")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    written = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    chinese = {char for char in written if "\u4e00" <= char <= "\u9fff"}
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *"，。！？,.!?"]
    vocabulary += [f"##{letter}" for letter in letters] + sorted(chinese)
    for name, heads in CHECKPOINTS.items():
        model = build_transformer_model({**CONFIG, "vocab_size": len(vocabulary)}, **heads)
        save_weights_as_checkpoint(model, folder / f"{name}.zip", vocab=vocabulary)
    return folder


def write_tokenizers(folder: Path) -> None:
    """Files of SentencePiece and byte-level BPE under published names."""
    (folder / "albert_base_v2").mkdir()
    (folder / "albert_base_v2" / "30k-clean.model").write_bytes(MODELS["albert"])
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *byte_characters(), "he", "<mask>"]
    (folder / "roberta-base").mkdir()
    ids = json.dumps({token: at for at, token in enumerate(vocabulary)})
    (folder / "roberta-base" / "vocab.json").write_text(ids, encoding="utf-8")
    (folder / "roberta-base" / "merges.txt").write_text("h e\n", encoding="utf-8")


@pytest.fixture
def workplace(tiny_checkpoints, tmp_path, monkeypatch) -> Path:
    """A folder as a reader might have it, and nothing that a page leaves behind."""
    for name in CHECKPOINTS:
        archive = tiny_checkpoints / f"{name}.zip"
        os.link(archive, tmp_path / archive.name)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(tmp_path)
    write_tokenizers(tmp_path)
    demo.write_data(tmp_path / "chnsenticorp", train=64, dev=16, test=16)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    keras.mixed_precision.set_global_policy("float32")


def run(page: Path) -> dict:
    """Runs a page; errors show the line of the page."""
    namespace = {"__name__": "page"}
    for before, source in blocks(page, "python"):
        tree = ast.increment_lineno(ast.parse(source), before)
        exec(compile(tree, str(page), "exec"), namespace)
    return namespace


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_run(page, workplace):
    for name, library in (
        ("as_layer", "tensorflow_text"),
        ("SentencePieceTokenizer", "sentencepiece"),
        ("ByteLevelBPETokenizer", "tokenizers"),
        ("FaissIndex", "faiss"),
    ):
        if name in page.read_text(encoding="utf-8"):
            pytest.importorskip(library)
    known = dict(registry._FAMILIES)
    try:
        run(page)
    finally:  # a page may register a family
        registry._FAMILIES.clear()
        registry._FAMILIES.update(known)


def test_there_is_python_to_run():
    counts = {name_of(page): len(blocks(page, "python")) for page in PAGES}
    assert counts["README.md"] >= 5 and sum(counts.values()) >= 25, counts


def without_comments(source: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    dropped = (tokenize.COMMENT, tokenize.NL)
    return [token.string for token in tokens if token.type not in dropped]


def test_the_chinese_readme_has_the_same_code_and_sections():
    for language in ("python", "bash"):
        ours, theirs = (
            [without_comments(source) for _, source in blocks(page, language)]
            for page in (ENGLISH, CHINESE)
        )
        assert ours == theirs
    heads = [
        re.findall(r"^(#+) ", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
        for page in (ENGLISH, CHINESE)
    ]
    assert heads[0] == heads[1]


# Commands


def commands(page: Path) -> list[list[str]]:
    """The words of every command in the page's shell blocks."""
    found = []
    for _, source in blocks(page, "bash"):
        for line in source.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z][A-Z_]*=.*", words[0]):  # NAME=value command
                words = words[1:]
            if words:
                found.append(words)
    return found


def check_make(words: list[str]) -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        if "=" not in word:
            assert re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE), word


def check_pip(words: list[str]) -> None:
    assert words[0] == "install"
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    for option, value in zip(words, words[1:]):
        if option in ("-c", "-r"):
            assert (CHECKOUT / value).is_file(), value
    for extras in re.findall(r"\[(.*?)\]", " ".join(w for w in words if w.startswith("."))):
        for extra in extras.split(","):
            assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


def check_python(words: list[str]) -> None:
    if words[0] == "-m":
        path = CHECKOUT / words[1].replace(".", "/")
        path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        words = words[1:]
    else:
        path = CHECKOUT / words[0]
    assert path.is_file(), path
    source = path.read_text(encoding="utf-8")
    if words[0] == "pretraining.run":  # most of its options are made of the settings
        source += "".join(f'"--{name.replace("_", "-")}"' for name in Settings.__annotations__)
    for option in (word for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in source, f"{path.name} has no option {option}"


def check_kerasbert(words: list[str]) -> None:
    ends = [at for at, word in enumerate(words) if word in ("|", "<", ">", "&&")]
    try:
        cli._parse(words[: min(ends, default=len(words))])
    except SystemExit as error:
        raise AssertionError(f"no such command line: kerasbert {' '.join(words)}") from error


KNOWN = {
    "make": check_make, "pip": check_pip, "python": check_python, "kerasbert": check_kerasbert
}  # fmt: skip
OTHERS = ("export", "jupyter", "docker", "curl", "tensorflow_model_server")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page):
    for words in commands(page):
        if words[0] in KNOWN:
            KNOWN[words[0]](words[1:])
        else:
            assert words[0] in OTHERS, words


def test_the_checks_of_commands_can_fail():
    for check, words in (
        (check_make, ["dmo"]),
        (check_pip, ["install", ".[adons]"]),
        (check_pip, ["install", "-c", "constraints/none.txt", "."]),
        (check_python, ["examples/none.py"]),
        (check_python, ["examples/demo.py", "--epoch"]),
        (check_python, ["-m", "kerasbert.none"]),
        (check_kerasbert, ["info"]),
        (check_kerasbert, ["encode", "model", "--none"]),
    ):
        with pytest.raises(AssertionError):
            check(words)


# Links


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the page's headings."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def test_every_page_is_linked_from_both_readmes():
    for readme in (ENGLISH, CHINESE):
        text = readme.read_text(encoding="utf-8")
        for page in PAGES[2:]:
            assert f"({name_of(page)})" in text, name_of(page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_paths_of_one_machine(page):
    assert not re.search(r"(?<![\w.])/(work|tmp|home|root)/", page.read_text(encoding="utf-8"))
