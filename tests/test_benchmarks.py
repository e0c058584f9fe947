"""The harness's own logic: no peers, no timing."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "specs.py").exists():
    pytest.skip("the benchmarks are not part of this copy", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks import __main__ as command_line  # noqa: E402
from benchmarks import (  # noqa: E402
    formats,
    report,
    sequences,
    specs,
    texts,
    vocabularies,
    weights,
)
from benchmarks.cases import Case  # noqa: E402
from benchmarks.settings import Settings, default_interpreters  # noqa: E402
from benchmarks.sides.masks import mask_shares  # noqa: E402
from benchmarks.sides.protocol import cpu_seconds  # noqa: E402
from benchmarks.workers import Worker, WorkerError, interleave  # noqa: E402
from kerasbert import build_transformer_model  # noqa: E402

# What people say on the command line.


def test_contender_with_and_without_mode():
    assert specs.Contender.parse("huggingface") == specs.Contender("huggingface", "")
    assert str(specs.Contender.parse("keras_hub:predict")) == "keras_hub:predict"


def test_unknown_side_is_named():
    with pytest.raises(ValueError, match=r"keras_bert.*Choose from: kerasbert, huggingface"):
        specs.Contender.parse("keras_bert:predict")


def test_every_row_has_known_contenders_and_starts_with_ours():
    for row in specs.ROWS.values():
        for variant in row.variants:
            contenders = row.default_contenders(variant)
            assert str(contenders[0]) == specs.BASELINE
            assert len(set(contenders)) == len(contenders)


def test_every_row_has_the_same_sizes_quick_and_full():
    for row in specs.ROWS.values():
        assert set(row.sizes) == set(row.quick)
        row.what.format(**row.sizes)


def test_rows_come_in_the_order_of_the_table():
    assert [row.name for row in specs.parse_rows(["tokenise", "load"])] == ["load", "tokenise"]
    assert len(specs.parse_rows([])) == len(specs.parse_rows(["all"])) == len(specs.ROWS)


def test_unknown_row_is_named():
    with pytest.raises(ValueError, match="backward"):
        specs.parse_rows(["forward", "backward"])


def test_sizes_change_where_they_apply():
    forward, tokenise = specs.ROWS["forward"], specs.ROWS["tokenise"]
    changed = specs.parse_sizes(forward, False, ["length=64", "characters=9", "warmup=0"])
    assert changed == {**forward.sizes, "length": 64, "warmup": 0}
    assert specs.parse_sizes(tokenise, True, ["length=64"]) == tokenise.quick
    assert forward.sizes["length"] == 128


@pytest.mark.parametrize("change", ["length", "length=", "length=-1", "rounds=0", "width=3"])
def test_wrong_sizes_are_refused(change):
    with pytest.raises(ValueError, match="Received"):
        specs.parse_sizes(specs.ROWS["forward"], False, [change])


def test_interpreters_come_from_the_environment_or_their_folders(tmp_path):
    found = default_interpreters(tmp_path, {"KERASBERT_BENCH_PYTHON_KERAS_HUB": "other/python"})
    assert found["keras_hub"] == "other/python"
    assert found["huggingface"] == str(tmp_path / ".venv-bench-huggingface/bin/python")
    assert found["kerasbert"] == sys.executable


def test_interpreter_option():
    assert command_line.parse_interpreter("huggingface=x/python") == ("huggingface", "x/python")
    for wrong in ("huggingface", "=x", "torch=x"):
        with pytest.raises(command_line.argparse.ArgumentTypeError):
            command_line.parse_interpreter(wrong)


def test_results_do_not_tell_paths():
    shown = command_line.shown_command(
        ["forward", "--data", "/a/b", "--assets=/c", "--python", "huggingface=/d", "--quick"]
        + ["--python=keras_hub=/e", "--set", "rounds=5"]
    )
    assert shown == (
        "python -m benchmarks forward --data DIR --assets DIR --python huggingface=PYTHON --quick"
        " --python keras_hub=PYTHON --set rounds=5"
    )


def test_wrong_row_ends_the_program_with_a_message(capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.main(["backward"])
    assert ended.value.code == 2
    assert "backward" in capsys.readouterr().err


# Ratios, checks, tables and files.


def test_ratio_is_the_median_of_each_rounds_own_ratio():
    # A slow machine in round 2 slows both sides; the ratio of the medians would be 3 / 2.
    assert report.ratio([2.0, 40.0, 3.0], [1.0, 20.0, 2.0]) == {
        "median": 2.0,
        "lowest": 1.5,
        "highest": 2.0,
    }


@pytest.mark.parametrize("peer, baseline", [([], []), ([1.0], [1.0, 2.0])])
def test_ratio_needs_equally_many_rounds(peer, baseline):
    with pytest.raises(ValueError, match="equally many"):
        report.ratio(peer, baseline)


def test_compare_floats():
    found = report.compare({"hidden": np.ones((2, 3))}, {"hidden": np.full((2, 3), 0.75)})
    assert found == {"largest_difference": 0.25, "mean_difference": 0.25}


def test_compare_refuses_other_shapes_and_names():
    with pytest.raises(ValueError, match="shape"):
        report.compare({"hidden": np.ones((2, 3))}, {"hidden": np.ones((3, 2))})
    with pytest.raises(ValueError, match="logits"):
        report.compare({"hidden": np.ones(2)}, {"logits": np.ones(2)})


def ragged(*rows):
    return {"ids": np.concatenate(rows), "lengths": np.array([len(row) for row in rows])}


def test_compare_counts_texts_with_other_ids():
    ours = ragged([1, 2], [3], [4, 5])
    assert report.compare(ours, ours) == {"texts": 3, "texts_that_differ": 0}
    moved = ragged([1], [2, 3], [4, 5])  # the same ids in a row, cut elsewhere
    assert report.compare(moved, ours) == {"texts": 3, "texts_that_differ": 2}
    with pytest.raises(ValueError, match="3 texts"):
        report.compare(ragged([1, 2], [3]), ours)


@pytest.fixture
def case():
    contenders = {
        "kerasbert": {"seconds": [1.0, 2.0], "first_call": 3.5},
        "huggingface": {
            "seconds": [2.0, 5.0],
            "first_call": 0.0042,
            "check": {"largest_difference": 2e-6, "mean_difference": 1e-7},
        },
        "keras_hub": {"problem": "no environment for keras_hub: see benchmarks/README.md"},
    }
    made = {"row": "forward", "variant": "float32", "what": "some work", "baseline": "kerasbert"}
    made["contenders"] = contenders
    report.add_ratios(made)
    return made


def test_ratios_are_added_where_there_are_rounds(case):
    contenders = case["contenders"]
    assert contenders["kerasbert"]["ratio"]["median"] == 1.0
    assert contenders["huggingface"]["ratio"] == {"median": 2.25, "lowest": 2.0, "highest": 2.5}
    assert "ratio" not in contenders["keras_hub"]


def test_no_ratios_without_the_baseline(case):
    for result in case["contenders"].values():
        result.pop("ratio", None)
    case["contenders"]["kerasbert"] = {"problem": "it broke"}
    report.add_ratios(case)
    assert not any("ratio" in result for result in case["contenders"].values())


def test_table(case):
    assert report.table(case).splitlines() == [
        "forward, float32: some work (ratio: time / kerasbert)",
        "contender    median  ratio  lowest to highest  first call  differs by",
        "kerasbert    1.5 s   1.00   1.00 to 1.00       3.5 s",
        "huggingface  3.5 s   2.25   2.00 to 2.50       4.2 ms      2.0e-06",
        "keras_hub    no environment for keras_hub: see benchmarks/README.md",
    ]


def test_rates_and_shares_of_a_limit(case):
    contenders = case["contenders"]
    info = {"operations": 300, "operations_done": 400}
    contenders["kerasbert:limit"] = {"seconds": [0.8, 1.6], "info": info}
    report.add_rates(case, "tokens", 96, limit="kerasbert:limit")
    assert contenders["kerasbert"]["per_second"] == {"tokens": 64.0}
    assert contenders["kerasbert"]["share_of_limit"] == pytest.approx(0.8 * 3 / 4)
    assert contenders["huggingface"]["share_of_limit"] == pytest.approx((0.4 + 0.32) / 2 * 3 / 4)
    assert not {"per_second", "share_of_limit"} & set(contenders["kerasbert:limit"])
    head, ours = report.table(case).splitlines()[1:3]
    assert "tokens/s  of the limit" in head
    assert "64        60%" in ours


def test_no_share_of_a_limit_that_was_not_measured(case):
    report.add_rates(case, "tokens", 96, limit="kerasbert:limit")
    assert case["contenders"]["huggingface"]["per_second"] == {"tokens": 96 / 3.5}
    assert not any("share_of_limit" in result for result in case["contenders"].values())


def test_the_table_says_whose_time_it_is(case):
    assert "(ratio: CPU time / kerasbert)" in report.table({**case, "clock": "cpu"})


def test_json_is_whole_or_absent(tmp_path, case):
    path = tmp_path / "results" / "forward.json"
    report.write_json(path, {"cases": [case]})
    assert report.read_results(path.parent) == [case]
    with pytest.raises(TypeError):
        report.write_json(path, {"cases": [object()]})
    assert [found.name for found in path.parent.iterdir()] == ["forward.json"]
    assert report.read_results(path.parent) == [case]


def test_variants_not_run_again_are_kept(tmp_path, case):
    other = {**case, "variant": "bfloat16"}
    command_line.write_row(tmp_path, "forward", [other])
    command_line.write_row(tmp_path, "forward", [{**case, "date": "old"}])
    command_line.write_row(tmp_path, "forward", [{**case, "date": "new"}])
    found = report.read_results(tmp_path)
    assert [one["variant"] for one in found] == ["float32", "bfloat16"]
    assert found[0]["date"] == "new"


@pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="needs matplotlib")
@pytest.mark.slow
def test_plot(tmp_path, case):
    report.plot([case, {**case, "variant": "bfloat16"}], tmp_path / "ratios.png")
    assert [path.name for path in tmp_path.iterdir()] == ["ratios.png"]
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")


def test_cpu_has_no_host_name():
    assert set(command_line.cpu()) == {"name", "instruction_sets"}


# Texts and weights.


def test_synthetic_pairs_have_recorded_lengths():
    pairs = texts.pairs(None, 2000, seed=3)
    lengths = np.array([[len(first), len(second)] for first, second, _ in pairs])
    assert lengths.min() >= 2
    assert 9 <= np.median(lengths[:, 0]) <= 11
    assert 20 <= (lengths.sum(axis=1) + 3).mean() <= 30
    assert {label for *_, label in pairs} == {0, 1}
    assert pairs == texts.pairs(None, 2000, seed=3)


def test_real_pairs_come_from_a_folder(tmp_path):
    (tmp_path / "deep" / "lcqmc").mkdir(parents=True)
    lines = ["text_a\ttext_b\tlabel", "一\t二\t1", "三\t四\t0", "broken line"]
    (tmp_path / "deep" / "lcqmc" / "train.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert sorted(texts.pairs(tmp_path, 2)) == [("一", "二", 1), ("三", "四", 0)]


def test_long_texts_are_long():
    for made in texts.text_sets("long_text", None, 10_000, count=2):
        assert all(len(text) == 2000 for text in made[:-1])
        assert sum(map(len, made)) >= 10_000


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("variant", specs.ROWS["tokenise"].variants)
def test_no_set_repeats_another(variant, language):
    sets = texts.text_sets(variant, None, 20_000, count=3, language=language)
    assert len({text for one in sets for text in one}) == sum(map(len, sets))
    characters = 1000 if variant == "single_call" else 20_000
    assert all(sum(map(len, one)) >= characters for one in sets)


def test_english_texts_come_from_a_folder(tmp_path):
    (tmp_path / "english.txt").write_text("All of it,\nword by word. " * 99, encoding="utf-8")
    (found,) = texts.text_sets("questions", tmp_path, 1000, count=1, language="en")
    assert set(" ".join(found).split()) >= {"All", "of", "it,", "word", "by", "word."}
    with pytest.raises(ValueError, match="too few texts"):
        texts.text_sets("questions", tmp_path, 9000, count=1, language="en")


def test_made_up_tokenizers_can_be_used(tmp_path, monkeypatch):
    pytest.importorskip("tokenizers")
    pytest.importorskip("sentencepiece")
    from kerasbert.tokenizers import Tokenizer

    learn = functools.partial(vocabularies.learn_bpe, 400)
    monkeypatch.setattr(vocabularies, "learn_bpe", lambda size: learn())
    vocabularies.write_all(tmp_path, None)
    for name, language in (("roberta", "en"), ("xlmr", "zh")):
        tokenizer = Tokenizer.from_pretrained(tmp_path / name)
        (made,) = texts.text_sets("questions", None, 500, count=1, language=language)
        ids = tokenizer(made, padding=False, return_tensors=None)["token_ids"]
        assert max(map(max, ids)) > 50 and all(tokenizer.unk_id not in row for row in ids)


def test_too_little_data_is_said(tmp_path):
    (tmp_path / "chnsenticorp").mkdir()
    (tmp_path / "chnsenticorp" / "train.tsv").write_text("label\ttext\n1\t好\n")
    with pytest.raises(ValueError, match="too few texts"):
        texts.text_sets("reviews", tmp_path, 100, count=1)


def test_synthetic_vocabulary_has_no_duplicates():
    made = texts.vocabulary(None, 21128)
    assert len(made) == len(set(made)) == 21128
    assert made[:3] == ["[PAD]", "[UNK]", "[CLS]"]


def test_base_has_the_published_number_of_parameters():
    shapes = weights.shapes(weights.config_for("base"))
    body = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("bert/"))
    assert body == 102_267_648
    assert shapes["bert/encoder/layer_11/intermediate/dense/kernel"] == (768, 3072)


@pytest.mark.parametrize(
    "google, huggingface",
    [
        ("bert/embeddings/word_embeddings", "bert.embeddings.word_embeddings.weight"),
        ("bert/embeddings/LayerNorm/gamma", "bert.embeddings.LayerNorm.weight"),
        (
            "bert/encoder/layer_11/attention/self/query/kernel",
            "bert.encoder.layer.11.attention.self.query.weight",
        ),
        ("bert/encoder/layer_0/output/dense/bias", "bert.encoder.layer.0.output.dense.bias"),
        ("bert/pooler/dense/kernel", "bert.pooler.dense.weight"),
        ("cls/predictions/transform/LayerNorm/beta", "cls.predictions.transform.LayerNorm.bias"),
        ("cls/predictions/output_bias", "cls.predictions.bias"),
        ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
        ("cls/seq_relationship/output_bias", "cls.seq_relationship.bias"),
    ],
)
def test_huggingface_names(google, huggingface):
    assert weights.huggingface_name(google) == huggingface


def test_safetensors_layout(tmp_path):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "model.safetensors"
    weights.write_safetensors(path, {"a": kernel.T, "b": np.ones(1, np.float32)})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert header["a"] == {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}
    assert header["b"]["data_offsets"] == [24, 28]
    assert np.frombuffer(content[8 + length :], "<f4").tolist() == [0, 3, 1, 4, 2, 5, 1]


# Sequences and their masks.

SPECIAL = np.array([0, 1, 2, 3, 4], np.int32)


def made_sequences(count=64, length=32):
    return sequences.make_sequences(count, length, SPECIAL, 21128, np.random.default_rng(0))


def test_special_ids_of_a_vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n的\n[MASK]\n[SEP]\n[UNK]\n[CLS]\n", encoding="utf-8")
    assert sequences.special_ids(path).tolist() == [0, 4, 5, 3, 2]


def test_sequences_have_words_between_special_tokens():
    made = made_sequences(500)
    ids, starts = made["token_ids"], made["word_starts"]
    assert (ids[:, 0] == 2).all() and (ids[:, -1] == 3).all() and ids[:, 1:-1].min() >= 1000
    assert starts[:, [0, 1, -1]].all()
    assert np.unique(ids, axis=0).shape == ids.shape  # told from each other by their tokens
    assert 1.5 < ids.size / starts.sum() < 1.75
    # of a word of more than five tokens there is no trace
    assert np.diff(np.flatnonzero(starts)).max() == 5


def test_masked_batches_can_be_restored():
    sizes = {"batch": 50, "length": 32, "predictions": 5}
    made = sequences.make_masked_batches(sizes, SPECIAL, 21128, np.random.default_rng(0), count=3)
    ids, positions, labels = (made[name] for name in ("token_ids", "positions", "labels"))
    assert ids.shape == (3, 50, 32) and positions.shape == labels.shape == (3, 50, 5)
    assert (np.diff(positions) > 0).all() and positions.min() >= 1 and positions.max() <= 30
    found = np.take_along_axis(ids, positions, axis=-1)
    assert 0.75 < (found == 4).mean() < 0.85
    assert 0.06 < (found == labels).mean() < 0.14
    assert (ids == 4).sum() == (found == 4).sum() and labels.min() >= 1000


def masked(arrays, places, replacement=4):
    """The arrays with the tokens at some places of every sequence replaced, and their labels."""
    ids, labels = arrays["token_ids"].copy(), np.full(arrays["token_ids"].shape, -100)
    labels[:, places] = ids[:, places]
    ids[:, places] = replacement
    return ids, labels


def test_shares_of_masked_tokens():
    arrays = made_sequences()
    ids, labels = masked(arrays, [1, 2, 7])
    ids[:32, 1] = 1234
    ids[:16, 2] = labels[:16, 2]
    shares = mask_shares(arrays, ids[::-1], labels[::-1], False)["shares"]
    assert shares == pytest.approx([3 / 30, 1 - 48 / 192, 32 / 192])


def test_words_masked_in_part_are_counted():
    arrays = made_sequences()
    arrays["word_starts"][:, 1:] = True
    arrays["word_starts"][:, [2, 6]] = False  # tokens 1 and 2, 5 and 6 are words
    whole = mask_shares(arrays, *masked(arrays, [1, 2, 9]), True)["shares"]
    assert whole == pytest.approx([0.1, 1, 0, 0])
    part = mask_shares(arrays, *masked(arrays, [1, 2, 6]), True)["shares"]
    assert part[3] == 0.5


def test_wrong_masks_are_refused():
    arrays = made_sequences()
    ids, labels = masked(arrays, [3])
    with pytest.raises(ValueError, match="do not restore"):
        mask_shares(arrays, ids, np.where(labels > 0, labels + 1, labels), False)
    with pytest.raises(ValueError, match="do not restore"):  # the first twice, the last never
        mask_shares(arrays, ids[[0, *range(63)]], labels[[0, *range(63)]], False)
    with pytest.raises(ValueError, match="special"):
        mask_shares(arrays, *masked(arrays, [0]), False)


# Workers: processes that need nothing but numpy.

SIDE = """
import numpy as np
from benchmarks.sides.protocol import Side, serve
from kerasbert import build_transformer_model

class Fake(Side):
    def imports(self):
        print("a library that prints on import")
        return {"fake": "1"}

    def prepare_forward(self):
        if self.job["mode"] == "lazy":
            self.work = self.result = lambda: {"hidden": np.ones(1)}
            return
        if self.job["mode"] == "broken":
            raise OSError("no such weights")
        arrays = self.read_inputs()
        self.work = lambda: 0.5
        self.result = lambda: {"hidden": arrays["token_ids"] * 1.0}
        return {"threads": self.threads}

    prepare_load = prepare_forward

    def prepare_tokenise(self):
        self.tokenise_with(lambda texts: [[len(text)] for text in texts], lambda text: [len(text)])

serve(Fake())
"""


@pytest.fixture
def settings(tmp_path, monkeypatch):
    package = tmp_path / "fake_sides"
    package.mkdir()
    for side in ("kerasbert", "huggingface"):
        (package / f"{side}.py").write_text(SIDE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("benchmarks.cases.busy_share", lambda: 0.25)
    return Settings(
        interpreters={"kerasbert": sys.executable, "huggingface": sys.executable},
        assets=tmp_path / "assets",
        model="tiny",
        data=None,
        threads=1,
        echo=lambda line: None,
        module="fake_sides.{side}",
    )


def run(settings, row, variant, *names, **sizes):
    contenders = [specs.Contender.parse(name) for name in names]
    sizes = {"batch": 2, "length": 4, "rounds": 2, "warmup": 1, **sizes}
    return Case(specs.ROWS[row], variant, contenders, sizes, settings).run()


@pytest.mark.slow
@pytest.mark.either
def test_case_with_a_missing_environment_and_a_broken_side(settings):
    names = ("kerasbert", "huggingface", "huggingface:broken", "huggingface:lazy", "bert4keras")
    case = run(settings, "forward", "float32", *names)
    results = case["contenders"]
    assert len(results["kerasbert"]["seconds"]) == 2
    assert results["huggingface"]["check"]["largest_difference"] == 0.0
    assert results["huggingface"]["ratio"]["median"] > 0
    assert results["huggingface"]["losses"] == [0.5] * 3
    assert results["huggingface"]["info"] == {"threads": 1}
    assert "OSError: no such weights" in results["huggingface:broken"]["problem"]
    assert "lazy did other work: Expected hidden" in results["huggingface:lazy"]["problem"]
    assert "no environment for bert4keras" in results["bert4keras"]["problem"]
    assert case["others_busy"] == [0.25, 0.25]
    json.dumps(case)
    log = (settings.assets / "logs" / "huggingface.log").read_text()
    assert "a library that prints" in log and "Traceback" in log


@pytest.mark.slow
@pytest.mark.either
def test_cold_case_starts_a_process_for_every_round(settings):
    case = run(settings, "load", "float32", "kerasbert", "huggingface")
    results = case["contenders"]["huggingface"]
    assert len(results["seconds"]) == 2
    assert len(results["load_seconds"]) == 3  # with the warm-up
    assert results["check"]["largest_difference"] == 0.0
    if Path("/proc/self/status").exists():
        assert results["peak_over_import"] >= 0


@pytest.mark.slow
@pytest.mark.either
@pytest.mark.parametrize("variant", ["reviews", "single_call"])
def test_case_of_texts(settings, variant):
    case = run(settings, "tokenise", variant, "kerasbert", "huggingface", characters=200)
    check = case["contenders"]["huggingface"]["check"]
    assert check["texts_that_differ"] == 0 < check["texts"]
    assert len(case["contenders"]["huggingface"]["seconds"]) == 2
    assert case["text_bytes"] > 0


def test_a_row_that_a_side_does_not_do_is_its_problem_only(settings):
    case = run(settings, "train_step", "float32", "kerasbert")
    assert "does not do the row 'train_step'" in case["contenders"]["kerasbert"]["problem"]


@pytest.mark.slow
@pytest.mark.either
def test_cpu_time_is_not_that_of_the_clock(settings):
    sleeping = SIDE.replace("self.work = lambda: 0.5", "self.work = lambda: time.sleep(0.2)")
    folder = settings.assets.parent / "fake_sides"
    (folder / "huggingface.py").write_text("import time\n" + sleeping)
    for clock, is_long in (("cpu", False), ("wall", True)):
        chosen = dataclasses.replace(settings, clock=clock)
        case = run(chosen, "forward", "float32", "kerasbert", "huggingface")
        seconds = case["contenders"]["huggingface"]["seconds"]
        assert all((second >= 0.2) is is_long for second in seconds)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_cpu_time_counts_processes_that_were_started():
    before = cpu_seconds()
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        child.stdout.readline()
        assert cpu_seconds() - before >= 0.25  # in ticks of a hundredth
        child.stdin.close()


@pytest.mark.slow
@pytest.mark.either
def test_a_limit_is_no_work_to_compare(settings):
    limit = SIDE.replace("self.result = lambda: {", "self.result = lambda: {} and {")
    limit = limit.replace('"threads": self.threads', '"operations": 1, "operations_done": 1')
    folder = settings.assets.parent / "fake_sides"
    (folder / "kerasbert.py").write_text(SIDE.replace("prepare_load", "prepare_pretrain_step"))
    limit = limit.replace("prepare_load", "prepare_pretrain_step")
    (folder / "huggingface.py").write_text(limit)
    google = settings.assets / "google"
    google.mkdir(parents=True)
    (google / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    row = dataclasses.replace(specs.ROWS["pretrain_step"], limit="huggingface")
    sizes = {"batch": 2, "length": 8, "predictions": 2, "rounds": 2, "warmup": 0}
    contenders = [specs.Contender("kerasbert"), specs.Contender("huggingface")]
    results = Case(row, "float32", contenders, sizes, settings).run()["contenders"]
    assert "check" not in results["huggingface"] and "problem" not in results["huggingface"]
    assert results["kerasbert"]["share_of_limit"] > 0
    assert results["kerasbert"]["per_second"]["tokens"] > 0


def test_worker_that_ends_or_hangs_is_reported(tmp_path):
    log = tmp_path / "worker.log"
    with Worker("gone", [sys.executable, "-c", ""], log, 1) as worker:
        with pytest.raises(WorkerError, match="gone"):
            worker.ask("import")
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with Worker("asleep", sleep, log, 1, timeout=0.2) as worker:
        with pytest.raises(WorkerError, match=r"asleep took over 0\.2 s"):
            worker.ask("import")


def test_rounds_alternate_and_a_failing_contender_drops_out():
    calls, generator = [], random.Random(0)

    def timed(name, failing=False):
        def once():
            calls.append(name)
            if failing and len(calls) > 4:
                raise WorkerError("broke")
            return generator.random()

        return once

    seconds = interleave({"a": timed("a"), "b": timed("b", True), "c": timed("c")}, 2, 1)
    assert "".join(calls) == "abc" + "abc" + "ac"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "c": 2}


# The pretraining rows on this package's own side, as a run without the peers measures them.


@pytest.fixture(scope="session")
def tiny_assets(tmp_path_factory):
    """A random BERT for all tests, in a folder that holds nothing else yet."""
    folder = tmp_path_factory.mktemp("benchmarks") / "tiny"
    weights.write_all(folder, "tiny", None)
    return folder


@pytest.fixture
def own_side(tiny_assets):
    return Settings(
        interpreters={"kerasbert": sys.executable},
        assets=tiny_assets,
        model="tiny",
        data=None,
        threads=1,
        echo=lambda line: None,
    )


@pytest.mark.either
@pytest.mark.slow
@pytest.mark.parametrize("variant", ["plain_128", "whole_word_128"])
def test_masking(own_side, variant):
    sizes = {"sequences": 128, "batch": 16, "rounds": 1, "warmup": 0}
    contenders = [specs.Contender("kerasbert"), specs.Contender("kerasbert", "records")]
    case = Case(specs.ROWS["masking"], variant, contenders, sizes, own_side).run()
    for result in case["contenders"].values():
        assert "problem" not in result, result
        assert result["per_second"]["sequences"] > 0
    # 19 of 126 tokens each: the shares of [MASK] and of others have room to differ
    assert case["contenders"]["kerasbert:records"]["check"]["largest_difference"] < 0.08


@pytest.mark.either
@pytest.mark.slow
def test_pretrain_step(own_side):
    row = specs.ROWS["pretrain_step"]
    contenders = [specs.Contender("kerasbert"), specs.Contender("kerasbert", "limit")]
    case = Case(row, "float32", contenders, dict(row.quick), own_side).run()
    ours, limit = case["contenders"].values()
    assert "problem" not in ours and "problem" not in limit, (ours, limit)
    assert ours["share_of_limit"] > 0
    # after three steps every batch has been seen, and the next rounds show it again
    assert len(ours["losses"]) == 3 and max(ours["losses"]) < 13
    info = limit["info"]
    assert 0.8 < info["operations_done"] / info["operations"] < 1.25
    assert info["matmul_limit"] > 0


@pytest.mark.parametrize("kind", ["bin", "tf_h5", "pdparams"])
def test_every_format_holds_the_same_weights(tiny_assets, kind):
    folder = formats.folder_of(tiny_assets, kind)
    ours, first = (
        build_transformer_model(path, with_pool=True, with_nsp=True, with_mlm=True).get_weights()
        for path in (folder, tiny_assets / "google")
    )
    for value, expected in zip(ours, first):
        np.testing.assert_array_equal(value, expected)
