"""Tokenizer.from_pretrained: the vocabulary found, and the rule on case read off it."""

from __future__ import annotations

import pytest

from kerasbert import Tokenizer, build_transformer_model, save_weights_as_checkpoint
from kerasbert.checkpoints.source import CheckpointNotFoundError
from tests.tiny import CONFIG, bert_tensors, write_checkpoint

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "<S>"]


def test_vocabulary_in_an_archive(tmp_path):
    vocab = [*SPECIAL, *map(chr, range(0x4E00, 0x4E00 + 43))]
    model = build_transformer_model(CONFIG, bert_tensors())
    path = save_weights_as_checkpoint(model, tmp_path / "mine.zip", vocab=vocab)
    tokenizer = Tokenizer.from_pretrained(path)
    assert tokenizer.vocab_size == 50
    assert tokenizer.encode("一丁")[0] == [2, 7, 8, 3]


@pytest.mark.parametrize(
    ("word", "lower"), [("he", True), ("##llo", True), ("He", False), ("##LLO", False)]
)
def test_case_is_read_off_the_vocabulary(tmp_path, word, lower):
    write_checkpoint(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, word]))
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.get_config()["do_lower_case"] is lower
    forced = Tokenizer.from_pretrained(tmp_path, do_lower_case=not lower)
    assert forced.get_config()["do_lower_case"] is not lower


def test_published_vocabularies(shared, tmp_path):
    import tarfile

    with tarfile.open(shared / "data" / "vocab.tar.xz") as archive:
        members = {m.name.rsplit("/", 1)[-1]: m for m in archive.getmembers()}
        for name, lower in (
            ("bert_zh_21128_vocab.txt", True),
            ("bert_en_uncased_30522_vocab.txt", True),
            ("bert_en_cased_28996_vocab.txt", False),
            ("bert_multi_cased_119547_vocab.txt", False),
            ("simbert_zh_13685_vocab.txt", True),
        ):
            folder = tmp_path / name
            write_checkpoint(folder)
            (folder / "vocab.txt").write_bytes(archive.extractfile(members[name]).read())
            config = Tokenizer.from_pretrained(folder).get_config()
            assert config["do_lower_case"] is lower, name


def test_no_vocabulary(tmp_path):
    write_checkpoint(tmp_path)
    with pytest.raises(CheckpointNotFoundError, match="No vocabulary lies with"):
        Tokenizer.from_pretrained(tmp_path)
