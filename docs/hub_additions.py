"""What the registry of the hub holds beyond the recorded facts: short names, addresses.

Read by ``make_hub_registry.py``. Addresses and extraction codes are those of the publishers' own
pages (the READMEs of the repositories named in the citations, in their stored versions). Nothing
here is guessed: where a page states no address, there is none.
"""

from __future__ import annotations

from typing import Any

from hub_addresses import baidu, direct, drive, page, release

# Recorded, but nothing that somebody could ask for by name.
NO_RELEASES = {
    'unidentified HFL-style 12x768 ("rbt12")': "which release it is was not established",
    "T5 v1.1-style mesh names (tiny test checkpoint)": "a test checkpoint",
    "UER-py BERT base (chinese) names": "a naming, not a release",
    "UER-py XLM-R base names": "a naming, not a release",
}

# Recorded hashes that cannot be those of the file they stand at.
WRONG_HASHES = {
    # They are those of uncased_L-12_H-768_A-12 of 2018, with a .meta that these archives lack; this
    # one was trained anew.
    "small24/uncased_L-12_H-768_A-12",
}

_WWM_NOTE = (
    "The publisher's page says that the release holds no weights of the MLM task: before you rely "
    "on with_mlm, try it on a sentence."
)
_PERT_NOTE = (
    "The publisher says that the MLM head of the PERT releases may be randomly initialised; the "
    "model was pre-trained by restoring the order of words, without [MASK]."
)
_LARGE_NOTE = (
    "The MLM head of this release is random: it was initialised anew when the file was saved again "
    "without the optimizer's slots (ymcui/Chinese-BERT-wwm, issues 76, 98, 146 and 212)."
)
_RBT4_NOTE = (
    "The MLM head of RBT4 was trained with a second input, [embedding of the guess; hidden state], "
    "whose further weights BERT's head has no place for: its predictions are not those of "
    "pre-training."
)
_MACBERT_NOTE = (
    "MacBERT was pre-trained to correct similar words, not to fill in [MASK]: the publisher says "
    "that it cannot perform the original MLM."
)
_LINEAR_POOL = "Sentence vectors are the pooled output with with_pool='linear'."
_WORDS = "A vocabulary of words: texts are cut by jieba first (pre_tokenize)."


def _google_bert() -> list[dict[str, Any]]:
    def google(name, published, hub, aliases="", language="en", **further):
        return release(
            *(name, published, "bert", language, "devlin2019bert", aliases),
            huggingface=f"google-bert/{hub}",
            **further,
        )

    base = [
        google("bert_base_uncased", "uncased_L-12_H-768_A-12", "bert-base-uncased"),
        google("bert_large_uncased", "uncased_L-24_H-1024_A-16", "bert-large-uncased"),
        google("bert_base_cased", "cased_L-12_H-768_A-12", "bert-base-cased"),
        google("bert_large_cased", "cased_L-24_H-1024_A-16", "bert-large-cased"),
        google(
            *("bert_base_chinese", "chinese_L-12_H-768_A-12", "bert-base-chinese"),
            "bert_chinese chinese_bert_base",
            language="zh",
        ),
        google(
            *("bert_base_multilingual_cased", "multi_cased_L-12_H-768_A-12"),
            "bert-base-multilingual-cased",
            "mbert",
            language="multilingual",
        ),
        google(
            *("bert_base_multilingual_uncased", "multilingual_L-12_H-768_A-12"),
            "bert-base-multilingual-uncased",
            language="multilingual",
        ),
        google(
            *("bert_large_uncased_whole_word_masking", "wwm_uncased_L-24_H-1024_A-16"),
            "bert-large-uncased-whole-word-masking",
            "bert_large_uncased_wwm",
        ),
        google(
            *("bert_large_cased_whole_word_masking", "wwm_cased_L-24_H-1024_A-16"),
            "bert-large-cased-whole-word-masking",
            "bert_large_cased_wwm",
        ),
    ]
    nicknames = {(2, 128): "tiny", (4, 256): "mini", (4, 512): "small", (8, 512): "medium"}
    small = []
    for layers in (2, 4, 6, 8, 10, 12):
        for hidden in (128, 256, 512, 768):
            shape = f"uncased_L-{layers}_H-{hidden}_A-{hidden // 64}"
            nickname = nicknames.get((layers, hidden))
            name = shape.lower().replace("-", "_")
            further = {}
            if (layers, hidden) == (12, 768):  # the archive has the name of BERT-base's of 2018
                name, further = f"small24_{name}", {"no_aliases": [shape]}
                further["notes"] = ["Not BERT-base of 2018: trained anew with the small ones."]
            small.append(
                release(
                    *(name, f"small24/{shape}", "bert", "en", "turc2019well"),
                    f"small24/{shape}" + (f" bert_{nickname}" if nickname else ""),
                    huggingface=f"google/bert_{shape}",
                    **further,
                )
            )
    return base + small


def _chinese_bert() -> list[dict[str, Any]]:
    def hfl(name, published, citation, hub, aliases, addresses, **further):
        return release(
            *(name, published, "bert", "zh", citation, aliases),
            huggingface=f"hfl/{hub}",
            addresses=addresses,
            **further,
        )

    wwm = "cui2019wwm"
    large = "RoBERTa-wwm-ext-large chinese_roberta_wwm_large_ext_L-24_H-1024_A-16"
    return [
        hfl(
            *("chinese_bert_wwm", "BERT-wwm chinese_wwm_L-12_H-768_A-12", wwm, "chinese-bert-wwm"),
            "bert_wwm chinese_wwm",
            [drive("1RoTQsXp2hkQ1gSRVylRIJfQxJUgkfJMW"), baidu("1HDdDXiYxGT5ub5OeO7qdWw", "qfh8")],
            notes=[_WWM_NOTE],
        ),
        hfl(
            *("chinese_bert_wwm_ext", "BERT-wwm-ext chinese_wwm_ext_L-12_H-768_A-12", wwm),
            "chinese-bert-wwm-ext",
            "bert_wwm_ext chinese_wwm_ext",
            [drive("1buMLEjdtrXE2c4G1rpsNGWEx7lUQ0RHi"), baidu("1x-jIw1X2yNYHGak2yiq4RQ", "wgnt")],
            notes=[_WWM_NOTE],
        ),
        hfl(
            "chinese_roberta_wwm_ext",
            "RoBERTa-wwm-ext chinese_roberta_wwm_ext_L-12_H-768_A-12",
            *(wwm, "chinese-roberta-wwm-ext", "roberta_wwm_ext"),
            [drive("1jMAKIJmPn7kADgD3yQZhpsqM-IRM1qZt"), baidu("1oR0cgSXE3Nz6dESxr98qVA", "vybq")],
            notes=[_WWM_NOTE],
        ),
        hfl(
            *("chinese_roberta_wwm_ext_large", large, wwm, "chinese-roberta-wwm-ext-large"),
            "roberta_wwm_ext_large roberta_wwm_large_ext chinese_roberta_wwm_large_ext",
            [drive("1dtad0FFzG11CBsawu8hvwwzU2R0FDI94"), baidu("1F68xzCLWEonTEVP7HQ0Ciw", "dqqe")],
            head_warnings={"with_mlm": _LARGE_NOTE},
        ),
        hfl(
            *("rbt3", "RBT3 chinese_rbt3_L-3_H-768_A-12", wwm, "rbt3", "chinese_rbt3"),
            [drive("1-rvV0nBDvRCASbRz8M9Decc3_8Aw-2yi"), baidu("1AnapwWj1YBZ_4E6AAtj2lg", "5a57")],
            notes=[_WWM_NOTE],
        ),
        hfl(
            *("rbt4", "RBT4 chinese_rbt4_L-4_H-768_A-12", wwm, "rbt4", "chinese_rbt4"),
            [baidu("1MUrmuTULnMn3L1aw_dXxSA", "sjpt")],
            head_warnings={"with_mlm": _RBT4_NOTE},
        ),
        hfl(
            *("rbt6", "RBT6 chinese_rbt6_L-6_H-768_A-12", wwm, "rbt6", "chinese_rbt6"),
            [baidu("1_MDAIYIGVgDovWkSs51NDA", "hniy")],
            notes=[_WWM_NOTE],
        ),
        hfl(
            *("rbtl3", "RBTL3 chinese_rbtl3_L-3_H-1024_A-16", wwm, "rbtl3", "chinese_rbtl3"),
            [drive("1Jzn1hYwmv0kXkfTeIvNT61Rn1IbRc-o8"), baidu("1vV9ClBMbsSpt8wUpfQz62Q", "s6cu")],
            notes=[_WWM_NOTE],
        ),
        hfl(
            *("chinese_macbert_base", "MacBERT-base chinese_macbert_base", "cui2020revisiting"),
            *("chinese-macbert-base", "macbert_base"),
            [drive("1aV69OhYzIwj_hn-kO1RiBa-m8QAusQ5b")],
            archive="chinese_macbert_base.zip",
            head_warnings={"with_mlm": _MACBERT_NOTE},
        ),
        hfl(
            *("chinese_macbert_large", "MacBERT-large", "cui2020revisiting"),
            *("chinese-macbert-large", ""),
            [drive("1lWYxnk1EqTA2Q20_IShxBrCPc5VSDCkT")],
            archive="chinese_macbert_large.zip",
            head_warnings={"with_mlm": _MACBERT_NOTE},
        ),
        hfl(
            *("chinese_lert_base", "Chinese-LERT-base", "cui2022lert", "chinese-lert-base"),
            "lert_base",
            [drive("1SD0P5O9NCZTJ5qOzvJo7QGyAJapNM_YS"), baidu("1_yb1jCDJ4s2P8OrF_5E_Tg", "9jgi")],
        ),
        hfl(
            *("chinese_lert_large", "Chinese-LERT-large", "cui2022lert", "chinese-lert-large"),
            "lert_large",
            [drive("1a_OBYy6-4akWsk-9ciT5FAmsiwVONpvh"), baidu("1pxsS3almc90DPvMXH6BMYQ", "s82t")],
        ),
        hfl(
            *("chinese_pert_base", "Chinese-PERT-base", "cui2022pert", "chinese-pert-base"),
            "pert_base",
            [drive("1_3TYwubupTfL-pgb2seqvF1qgD5SRGrz"), baidu("1yDHkYKmdaJkliTGHWQtdFA", "rcsw")],
            head_warnings={"with_mlm": _PERT_NOTE},
        ),
        hfl(
            *("chinese_pert_large", "Chinese-PERT-large", "cui2022pert", "chinese-pert-large"),
            "pert_large",
            [drive("1jAV2IbJEHErVpl6mPceLjSEQl6osQ0uk"), baidu("1MG44TRIgqV6m_StfB_yBqQ", "e9hs")],
            head_warnings={"with_mlm": _PERT_NOTE},
        ),
        release(
            *("mengzi_bert_base", "Mengzi-BERT-base", "bert", "zh", "zhang2021mengzi"),
            huggingface="Langboat/mengzi-bert-base",
        ),
    ]


def _electra() -> list[dict[str, Any]]:
    found = []
    for size in ("small", "base", "large"):
        for role, family in (("discriminator", "electra"), ("generator", "electra_generator")):
            is_generator = role == "generator"
            name = f"electra_{size}" + ("_generator" if is_generator else "")
            found.append(
                release(
                    name,
                    # The archive holds both networks.
                    [f"google/electra-{size}-{role}"]
                    if is_generator
                    else [f"electra_{size}", f"google/electra-{size}-{role}"],
                    *(family, "en", "clark2020electra"),
                    huggingface=f"google/electra-{size}-{role}",
                    shares_archive_of=f"electra_{size}" if is_generator else None,
                    generator=is_generator,
                )
            )
    shares = {
        "small": ("1uab-9T1kR9HgD2NB0Kz1JB_TdSKgJIds", "1UIosBYOHVA3bDuJrFqU0NQ", "1r4r"),
        "small-ex": ("1LluPORc7xtFmCTFR4IF17q77ip82i7__", "1dOLw4feMJcsgZL07V-koWA", "gfb1"),
        "base": ("1FMwrs2weFST-iAuZH3umMa6YZVeIP8wD", "1HOzCBNaoIEULj_s-q3dDzA", "f32j"),
        "large": ("1ny0NMLkEWG6rseDLiF_NujdHxDcIN51m", "1M5pSqDRbb3Vsv5r3TfviBQ", "1e14"),
    }
    for size, (file, share, code) in shares.items():
        for role, family in (("discriminator", "electra"), ("generator", "electra_generator")):
            is_generator = role == "generator"
            name = f"chinese_electra_{size.replace('-', '_')}"
            found.append(
                release(
                    name + ("_generator" if is_generator else ""),
                    [] if is_generator else f"Chinese ELECTRA-{size}",
                    *(family, "zh", "cui2020revisiting"),
                    "" if is_generator else f"hfl/chinese-electra-{size}",
                    huggingface=f"hfl/chinese-electra-{size}-{role}",
                    addresses=[] if is_generator else [drive(file), baidu(share, code)],
                    shares_archive_of=name if is_generator else None,
                    generator=is_generator,
                    title=f"Chinese ELECTRA-{size}" + (", generator" if is_generator else ""),
                )
            )
    found.append(
        release(
            *("clue_electra_tiny", "CLUE ELECTRA-tiny", "electra", "zh", "xu2020clue"),
            addresses=[page("https://github.com/CLUEbenchmark/ELECTRA")],
            archive="electra_tiny.zip",
        )
    )
    return found


def _albert() -> list[dict[str, Any]]:
    found = []
    for size in ("base", "large", "xlarge", "xxlarge"):
        found.append(
            release(
                *(f"albert_{size}_v1", f"albert_{size}_v1", "albert", "en", "lan2020albert"),
                huggingface=f"albert/albert-{size}-v1",
            )
        )
        published = [f"albert_{size}_v2", f"albert-{size}-v2"]
        if size == "base":
            published.append("albert TF-Hub export (any size)")
        found.append(
            release(
                *(f"albert_{size}_v2", published, "albert", "en", "lan2020albert"),
                huggingface=f"albert/albert-{size}-v2",
            )
        )
        found.append(
            release(
                *(f"albert_{size}_zh", f"albert_{size}_zh", "albert", "zh", "lan2020albert"),
                f"google/albert_{size}_zh",
            )
        )
    bucket = "https://storage.googleapis.com/albert_zh"
    brightmart = [
        ("albert_tiny_zh", "albert_tiny_zh", "albert_zh", "", []),
        ("albert_tiny_489k", "albert_tiny_489k", "albert_zh", "albert_tiny_zh_489k", []),
        ("albert_large_zh_brightmart", "albert_large_zh (brightmart)", "albert_zh", "", []),
        (
            *("albert_base_zh_brightmart", "albert_base_zh (brightmart)", "albert_zh", ""),
            [direct(f"{bucket}/albert_base_zh_additional_36k_steps.zip")],
        ),
        (
            *("albert_xlarge_zh_183k", "albert_xlarge_zh_183k (brightmart)", "albert_zh"),
            *("albert_xlarge_zh_brightmart", []),
        ),
        ("albert_tiny_zh_google", "albert_tiny_zh_google", "albert", "", []),
        ("albert_small_zh_google", "albert_small_zh_google", "albert", "", []),
    ]
    for name, published, family, aliases, addresses in brightmart:
        plain = published.split(" ")[0]
        mine = {"no_aliases": [plain]} if published.endswith("(brightmart)") else {}
        found.append(
            release(
                *(name, published, family, "zh", "xu2019albertzh", f"{aliases} brightmart/{plain}"),
                addresses=addresses,
                **mine,
            )
        )
    found += [
        release(
            *("albert_tiny_google_zh_489k", "albert_tiny_google_zh (bojone conversion)", "albert"),
            *("zh", "xu2019albertzh", "albert_tiny_google_zh bojone/albert_tiny_google_zh"),
            addresses=[baidu("1UsJRo4E8DRshwpF8rA3i9A", "4m4b")],
        ),
        release(
            *("albert_base_google_zh", "albert_base_google_zh (bojone conversion)", "albert"),
            *("zh", "xu2019albertzh", "bojone/albert_base_google_zh"),
            addresses=[baidu("1QSglsiOy6cLOcSBbuHaAUQ", "tc54")],
            archive="albert_base_google_zh_additional_36k_steps.zip",
        ),
    ]
    return found


def _zhuiyi() -> list[dict[str, Any]]:
    def zhuiyi(name, published, family, citation, aliases="", **further):
        return release(name, published, family, "zh", citation, aliases, **further)

    pool = {"options": {"with_pool": "linear"}, "notes": [_LINEAR_POOL]}
    sim = "su2020simbert"
    found = [
        zhuiyi("simbert_base", "chinese_simbert_L-12_H-768_A-12", "bert", sim, "simbert", **pool),
        zhuiyi("simbert_small", "chinese_simbert_L-6_H-384_A-12", "bert", sim, **pool),
        zhuiyi("simbert_tiny", "chinese_simbert_L-4_H-312_A-12", "bert", sim, **pool),
    ]
    zoo = "su2020zoo"
    for name, published in (
        ("chinese_roberta_tiny", "chinese_roberta_L-4_H-312_A-12"),
        ("chinese_roberta_small", "chinese_roberta_L-6_H-384_A-12"),
        ("chinese_roberta_tiny_plus", "chinese_roberta_L-4_H-312_A-12_K-104"),
        ("chinese_roberta_small_plus", "chinese_roberta_L-6_H-384_A-12_K-128"),
    ):
        found.append(zhuiyi(name, published, "bert", zoo, name.replace("chinese", "zhuiyi")))
    shapes = {"base": "L-12_H-768_A-12", "small": "L-6_H-384_A-6"}
    for size, shape in shapes.items():
        found.append(
            zhuiyi(
                *(f"roformer_{size}", f"chinese_roformer_{shape}", "roformer", "su2021roformer"),
                f"roformer_chinese_{size} chinese_roformer_{size}",
                notes=[_WORDS],
            )
        )
        found.append(
            zhuiyi(
                *(f"roformer_char_{size}", f"chinese_roformer-char_{shape}", "roformer"),
                *("su2021roformer", f"roformer_chinese_char_{size} chinese_roformer_char_{size}"),
            )
        )
        for kind in ("", "_ft"):
            found.append(
                zhuiyi(
                    f"roformer_sim{kind}_{size}",
                    f"chinese_roformer-sim-char{kind.replace('_', '-')}_{shape}",
                    *("roformer", "su2021roformersim"),
                    f"roformer_chinese_sim_char{kind}_{size} simbert_v2{kind}_{size}",
                    **pool,
                )
            )
    shapes = {"small": "L-6_H-384_A-6", "base": "L-12_H-768_A-12", "large": "L-24_H-1024_A-16"}
    for size, shape in shapes.items():
        found.append(
            zhuiyi(
                f"roformer_v2_{size}",
                f"chinese_roformer-v2-char_{shape}",
                *("roformer_v2", "su2022roformerv2"),
                f"roformer_v2_chinese_char_{size} chinese_roformer_v2_{size}",
            )
        )
    for name, published, family, share, code in (
        ("wobert", "chinese_wobert_L-12_H-768_A-12", "bert", "1BrdFSx9_n1q2uWBiQrpalw", "kim2"),
        (
            *("wobert_plus", "chinese_wobert_plus_L-12_H-768_A-12", "bert"),
            *("1Ltq3ltQsyBCj56zoOOvI9A", "aedw"),
        ),
        ("wonezha", "chinese_wonezha_L-12_H-768_A-12", "nezha", "1ABKwUuIiMEEsRXxxlbyKmw", "qgkq"),
    ):
        found.append(
            zhuiyi(
                *(name, published, family, "su2020wobert"),
                addresses=[baidu(share, code)],
                notes=[_WORDS],
            )
        )
    return found


def _others() -> list[dict[str, Any]]:
    folder = "https://drive.google.com/drive/folders/"
    found = []
    for name, published, share, code, identity in (
        (
            *("nezha_base", "NEZHA-base", "1UVQjy9v_Sv4cQd1ELdjqww", "ntn3"),
            "1tFs-wMoXIY8zganI2hQgDBoDPqA8pSmh",
        ),
        (
            *("nezha_base_wwm", "NEZHA-base-WWM", "1-YG8e5V2zKCnR3azsGZT1w", "f68o"),
            "1bK6WbqAG-B6BX2d9RPprnh2MPK6zL0t_",
        ),
        (
            *("nezha_large", "NEZHA-large", "1R1Ew-Lu8oIP6QhWO6nqp5Q", "7thu"),
            "1ZPPM5XtTTOrS_CDRak1t2nCBU-LFZ_zs",
        ),
        (
            *("nezha_large_wwm", "NEZHA-large-WWM", "1JK1RLIJd2wpuypku3stt8w", "ni4o"),
            "1LOAUc9LXyogC2gmP_q1ojqj41Ez01aga",
        ),
    ):
        found.append(
            release(
                *(name, published, "nezha", "zh", "wei2019nezha", f"chinese_{name}"),
                addresses=[page(folder + identity), baidu(share, code)],
                archive=published,
            )
        )
    xlnet = "yang2019xlnet"
    found += [
        release(
            *("xlnet_base_cased", "XLNet-Base cased", "xlnet", "en", xlnet),
            "xlnet_cased_L-12_H-768_A-12 xlnet_base",
            huggingface="xlnet/xlnet-base-cased",
            no_aliases=["cased_L-12_H-768_A-12"],  # BERT's, of the same name
        ),
        release(
            *("xlnet_large_cased", "XLNet-Large cased", "xlnet", "en", xlnet),
            "xlnet_cased_L-24_H-1024_A-16 xlnet_large",
            huggingface="xlnet/xlnet-large-cased",
            no_aliases=["cased_L-24_H-1024_A-16"],
        ),
        release(
            *("chinese_xlnet_mid", "HFL Chinese XLNet-mid", "xlnet", "zh", "cui2020revisiting"),
            huggingface="hfl/chinese-xlnet-mid",
            addresses=[drive("1342uBc7ZmQwV6Hm6eUIN_OnBSz1LcvfA")],
        ),
        release(
            *("chinese_xlnet_base", "HFL Chinese XLNet-base", "xlnet", "zh", "cui2020revisiting"),
            huggingface="hfl/chinese-xlnet-base",
            addresses=[drive("1m9t-a4gKimbkP5rqGXXsEAEPhJSZ8tvx")],
        ),
        release(
            *("rembert", ["google/rembert (HF)", "RemBERT (original TF)"], "rembert"),
            *("multilingual", "chung2021rethinking"),
            huggingface="google/rembert",
        ),
        release(
            "ernie_1.0",
            ["ERNIE 1.0 converted to TF (ArthurRizar)", "ERNIE 1.0 (Paddle Fluid names)"],
            *("ernie", "zh", "sun2019ernie", "ernie ernie_base_zh tensorflow_ernie"),
            addresses=[baidu("1I7kKVlZN6hl-sUbnvttJzA", "iq74")],
            archive="tensorflow_ernie.zip",
        ),
        release(
            *("biobert_v1.1_pubmed", "biobert_v1.1_pubmed", "bert", "en", "lee2020biobert"),
            "biobert biobert-v1.1",
            huggingface="dmis-lab/biobert-base-cased-v1.1",
            addresses=[
                direct(
                    "https://github.com/naver/biobert-pretrained/releases/download/v1.1-pubmed/"
                    "biobert_v1.1_pubmed.tar.gz"
                ),
                drive("1R84voFKHfWV9xjzeLzWBbmY1uOMYpnyD"),
            ],
            archive="biobert_v1.1_pubmed.tar.gz",
        ),
        release(
            *("labse", "LaBSE (bojone TF conversion)", "bert", "multilingual", "feng2022labse"),
            "bojone/labse",
            addresses=[baidu("17qUdDSrPhhNTvPnEeI56sg", "p52d")],
            archive="labse.zip",
            options={"with_pool": "linear"},
            notes=[_LINEAR_POOL],
        ),
        release(
            *("spanbert_base_cased", "SpanBERT base cased", "bert", "en", "joshi2020spanbert"),
            huggingface="SpanBERT/spanbert-base-cased",
            huggingface_first=True,
            notes=["The archive holds no vocabulary: it is that of bert_base_cased."],
        ),
        release(
            *("spanbert_large_cased", "SpanBERT large cased", "bert", "en", "joshi2020spanbert"),
            huggingface="SpanBERT/spanbert-large-cased",
            huggingface_first=True,
            notes=["The archive holds no vocabulary: it is that of bert_base_cased."],
        ),
    ]
    fairseq = "The archive of fairseq has no json, and its dict.txt alone does not encode text."
    for name, key, family, language, citation, hub, namings in (
        ("roberta_base", "roberta.base", "roberta", "en", "liu2019roberta", "roberta-base", 3),
        ("roberta_large", "roberta.large", "roberta", "en", "liu2019roberta", "roberta-large", 3),
        *(
            (
                *(f"xlm_roberta_{size}", f"xlmr.{size}", "xlm_roberta", "multilingual"),
                *("conneau2020xlmr", f"xlm-roberta-{size}", 3),
            )
            for size in ("base", "large")
        ),
        *(
            (
                *(f"xlm_roberta_{size}", f"xlmr.{size}", "xlm_roberta_xl", "multilingual"),
                *("goyal2021larger", f"xlm-roberta-{size}", 2),
            )
            for size in ("xl", "xxl")
        ),
    ):
        fairseq_names = (
            ["(fairseq names, upgraded)", "(fairseq names, as originally saved)"]
            if namings == 3
            else ["(fairseq names)"]
        )
        found.append(
            release(
                name,
                [f"{key} {naming}" for naming in ["(HF names)", *fairseq_names]],
                *(family, language, citation, f"{key} {key.replace('.', '_')}"),
                huggingface=("facebook/" if "xl" in name.split("_")[-1] else "FacebookAI/") + hub,
                huggingface_first=True,
                notes=[fairseq],
            )
        )
    return found


RELEASES: list[dict[str, Any]] = [
    *_google_bert(),
    *_chinese_bert(),
    *_electra(),
    *_albert(),
    *_zhuiyi(),
    *_others(),
]


# Trained with this package and part of it (kerasbert/hub): no recorded facts, no address.
OWN: list[dict[str, Any]] = [
    {
        "name": "kerasbert_mini_zh",
        "title": "kerasbert-mini-zh",
        "aliases": ["mini_zh"],
        "family": "bert",
        "options": {"with_pool": "linear"},
        "language": "zh",
        "licence": "Apache-2.0",
        "licence_note": "Apache-2.0, as this package; the texts it was trained on are free",
        "non_commercial": False,
        "citation": "kerasbert2026mini",
        "parameters": None,  # counted from the archive
        "do_lower_case": True,
        "vocabulary": None,
        "config": None,
        "archives": [
            {
                "name": "kerasbert-mini-zh.zip",
                "format": "zip",
                "kind": "TensorFlow checkpoint",
                "size_stated": None,
                "files": {},
                "addresses": [],
                "holds_config": True,
            }
        ],
        "notes": [
            "A small model for tests and examples, which comes with the package: nothing is "
            "downloaded. docs/kerasbert_mini_zh.md says what it is good for."
        ],
        "head_warnings": {},
        "published": [],
    },
]
