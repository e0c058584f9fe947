"""The registry: every published checkpoint has one place, and what it says is what is recorded."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert import hub
from kerasbert.hub.names import close_to, normalise
from kerasbert.models.registry import find_model, recognize

CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = hub.models()
IDS = [model.name for model in MODELS]
every_model = pytest.mark.parametrize("model", MODELS, ids=IDS)


@pytest.fixture(scope="module")
def recorded(shared) -> dict[str, dict]:
    facts = json.loads((shared / "published" / "published.json").read_text())
    return {entry["name"]: entry for entry in facts["checkpoints"]}


@pytest.fixture(scope="module")
def maker():
    sys.path.insert(0, str(CHECKOUT / "docs"))
    try:
        import make_hub_registry
    finally:
        sys.path.remove(str(CHECKOUT / "docs"))
    return make_hub_registry


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RBT3", "rbt3"),
        ("rbt3", "rbt3"),
        ("hfl/rbt3", "rbt3"),
        ("chinese_rbt3_L-3_H-768_A-12", "rbt3"),
        ("chinese_roberta_wwm_ext", "chinese_roberta_wwm_ext"),
        ("hfl/chinese-roberta-wwm-ext", "chinese_roberta_wwm_ext"),
        ("chinese_roberta_wwm_ext_L-12_H-768_A-12", "chinese_roberta_wwm_ext"),
        ("RoBERTa-wwm-ext-large", "chinese_roberta_wwm_ext_large"),
        ("chinese_L-12_H-768_A-12", "bert_base_chinese"),
        ("bert-base-chinese", "bert_base_chinese"),
        ("simbert_base", "simbert_base"),
        ("chinese_simbert_L-12_H-768_A-12", "simbert_base"),
        ("albert_base_v2", "albert_base_v2"),
        ("albert-base-v2", "albert_base_v2"),
        ("albert_base_zh", "albert_base_zh"),
        ("albert_tiny_google_zh", "albert_tiny_google_zh_489k"),
        ("electra_small", "electra_small"),
        ("electra_small_generator", "electra_small_generator"),
        ("google/electra-small-discriminator", "electra_small"),
        ("google/electra-small-generator", "electra_small_generator"),
        ("xlm-roberta-base", "xlm_roberta_base"),
        ("FacebookAI/xlm-roberta-base", "xlm_roberta_base"),
        ("roberta.base", "roberta_base"),
        ("uncased_L-12_H-768_A-12", "bert_base_uncased"),
        ("cased_L-12_H-768_A-12", "bert_base_cased"),
        ("xlnet_cased_L-12_H-768_A-12", "xlnet_base_cased"),
        ("NEZHA-base-WWM", "nezha_base_wwm"),
        ("SpanBERT/spanbert-base-cased", "spanbert_base_cased"),
        ("chinese_roformer-sim-char-ft_L-6_H-384_A-6", "roformer_sim_ft_small"),
        ("  Chinese ELECTRA-small ", "chinese_electra_small"),
    ],
)
def test_names_that_users_know(name, expected):
    assert hub.find(name).name == expected


def test_no_alias_is_of_two_models():
    owners = {}
    for model in MODELS:
        for name in (model.name, *model.aliases):
            assert owners.setdefault(normalise(name), model.name) == model.name, name
            assert hub.find(name) is model
            assert hub.find(name.upper().replace("_", "-")) is model


@every_model
def test_a_name_is_a_folder_on_every_system(model):
    assert re.fullmatch(r"[a-z0-9][a-z0-9._]*", model.name)
    assert not model.name.endswith(".")
    for archive in model.archives:
        assert "/" not in archive.name or archive.format == "repository"


@every_model
def test_the_family_is_built_here(model):
    assert find_model(model.family)
    known = find_model(model.family)[0].accepted_options()
    assert set(model.options) | set(model.head_warnings) <= known


@every_model
def test_the_config_is_of_the_family(model):
    config = model.config
    if config is None:  # of which none is recorded
        return
    family = find_model(model.family)[0].select({}, config)
    values = family.config_class.from_dict(dict(config))
    if model.vocabulary is not None and "vocab_size" in config:
        assert values.vocab_size == model.vocabulary.size
    assert values.num_hidden_layers > 0


@every_model
def test_addresses_are_addresses(model):
    for archive in model.archives:
        assert archive.format in ("zip", "tar.gz", "folder", "repository")
        for address in archive.addresses:
            assert address.kind in ("direct", "huggingface", "drive", "share", "page")
            start = "hf://" if address.kind == "huggingface" else "https://"
            assert address.url.startswith(start)
            assert not set(address.url) & set(" ()<>\"'")
            assert (address.code is not None) == (address.kind == "share")
            assert address.kind != "direct" or archive.name
        for name, known in archive.files.items():
            assert "(" not in name
            assert known.sha256 is None or re.fullmatch("[0-9a-f]{64}", known.sha256)
            assert (known.sha256 is None) == (known.size is None)


@every_model
def test_a_licence_is_said(model):
    assert model.licence in ("Apache-2.0", "MIT", "CC-BY-NC-4.0", "not stated")
    assert model.non_commercial == ("-NC" in model.licence)
    assert model.citation.address.startswith(("https://", "docs/"))
    assert model.citation.key in model.citation.bibtex()


def test_spanbert_is_not_for_commerce():
    assert {m.name for m in MODELS if m.non_commercial} == {
        "spanbert_base_cased",
        "spanbert_large_cased",
    }


def test_models_are_chosen_by_what_they_are():
    assert {m.family for m in hub.models(family="NEZHA")} == {"nezha"}
    assert all(m.licence == "MIT" for m in hub.models(licence="mit"))
    chosen = hub.models(family="xlnet", licence="Apache-2.0", language="zh")
    assert [m.name for m in chosen] == ["chinese_xlnet_base", "chinese_xlnet_mid"]
    assert len(hub.models()) == len(MODELS) > 100
    for options in ({"family": "bart"}, {"licence": "GPL"}, {"language": "de"}):
        with pytest.raises(ValueError, match="There are: "):
            hub.models(**options)


def test_an_unknown_name_shows_near_ones():
    with pytest.raises(hub.UnknownModelError, match=r"chinese_roberta_wwm_ext or"):
        hub.find("chinese_roberta_wm_ext")
    with pytest.raises(hub.UnknownModelError, match="hf://"):
        hub.find("")
    assert hub.get("nothing like it") is None
    with pytest.raises(TypeError):
        hub.find(None)


@pytest.mark.parametrize(
    "options",
    [{"with_mlm": True}, {"with_mlm": "linear"}, {"application": "unilm"}, {"application": "lm"}],
)
def test_a_random_head_is_warned_about(options):
    (warning,) = hub.find("RoBERTa-wwm-ext-large").warnings_for(options)
    assert warning.startswith("chinese_roberta_wwm_ext_large: ")
    assert "random" in warning


@pytest.mark.parametrize(
    "options", [{}, {"with_mlm": False}, {"with_mlm": None}, {"with_pool": True, "name": "x"}]
)
def test_other_heads_are_not_warned_about(options):
    assert hub.find("RoBERTa-wwm-ext-large").warnings_for(options) == []
    assert hub.find("bert_base_chinese").warnings_for({"with_mlm": True}) == []


@given(st.text(max_size=30))
def test_the_normal_spelling_is_one(text):
    name = normalise(text)
    assert normalise(name) == name
    assert normalise(f" {text} ") == name
    assert normalise(text.replace("-", "_")) == name
    assert normalise(text.replace("_", "-")) == name
    assert "-" not in name
    assert " " not in name


@given(st.sampled_from(IDS), st.randoms(use_true_random=False))
def test_any_spelling_of_a_name_is_found(name, random):
    spelt = "".join(random.choice(("_", "-", " ")) if c == "_" else c for c in name)
    spelt = "".join(random.choice((c.upper(), c)) for c in spelt)
    assert hub.find(spelt).name == name


@given(st.text(max_size=30))
def test_any_name_has_an_answer(text):
    if hub.get(text) is None:
        assert set(hub.suggestions(text)) <= set(IDS)
        assert len(close_to(text, IDS)) <= 3


# With the recorded facts at hand.


def test_the_file_is_what_is_made_of_the_facts(shared, maker):
    facts = json.loads((shared / "published" / "published.json").read_text())
    made = maker.dumps(maker.registry(facts))
    assert made == maker.TARGET.read_text(encoding="utf-8"), "run docs/make_hub_registry.py"


def test_every_recorded_checkpoint_has_one_place(recorded, maker):
    places = [name for model in MODELS for name in model.published]
    assert len(places) == len(set(places))
    assert set(places) | set(maker.NO_RELEASES) == set(recorded)


@every_model
def test_facts_are_the_recorded_ones(model, recorded):
    entries = [recorded[name] for name in model.published]
    if not entries:
        return
    vocabularies = [entry["vocab"] for entry in entries if entry.get("vocab")]
    sizes = {vocabulary["size"] for vocabulary in vocabularies if vocabulary["size"]}
    assert not sizes or model.vocabulary.size in sizes
    configs = [entry.get("config") or entry.get("derived_config") for entry in entries]
    configs = [{k: v for k, v in config.items() if v is not None} for config in configs if config]
    assert model.config in configs or not configs
    lower = {(entry.get("tokenizer") or {}).get("do_lower_case") for entry in entries} - {None}
    assert not lower or model.do_lower_case in lower
    urls = {(entry.get("archive") or {}).get("url") or "" for entry in entries}
    ours = {a.url for archive in model.archives for a in archive.addresses if a.kind == "direct"}
    for url in urls:
        if url.startswith("https://") and "huggingface.co" not in url:
            assert url.split(" ")[0] in ours
    hashes = {
        (name, sha256)
        for entry in entries
        for name, (sha256, _) in (entry.get("file_sha256_size") or {}).items()
    }
    for archive in model.archives:
        for name, known in archive.files.items():
            assert known.sha256 is None or (name, known.sha256) in hashes


@every_model
def test_the_family_is_that_of_the_variables(model, recorded):
    for name in model.published:
        entry = recorded[name]
        if entry["framework"] not in ("tensorflow1", "pytorch_hf") or not entry.get("variables"):
            continue
        shapes = {variable["name"]: tuple(variable["shape"]) for variable in entry["variables"]}
        config = entry.get("config") or {}
        found = find_model(recognize(shapes, config) or "bert")[0].select(shapes, config)
        expected = find_model(model.family)[0].select(shapes, config)
        if model.family == "electra_generator" and entry["framework"] == "tensorflow1":
            continue  # both networks lie in one file
        assert found is expected


def test_a_hash_of_another_file_is_left_out():
    archive = hub.find("small24/uncased_L-12_H-768_A-12").archives[0]
    assert all(known.sha256 is None for known in archive.files.values())
    data = hub.find("uncased_L-12_H-768_A-12").archives[0].files
    assert data["bert_model.ckpt.data-00000-of-00001"].size == 440425712
