"""The families that come with the package, under the names that ``model=`` may have."""

from __future__ import annotations

from kerasbert.models.albert import ALBERT
from kerasbert.models.albert_zh import EarlyALBERTZh
from kerasbert.models.bert import BERT
from kerasbert.models.electra import ELECTRA, ELECTRAGenerator
from kerasbert.models.ernie import ERNIE
from kerasbert.models.gpt import GPT, GPT2, GPT2_ML
from kerasbert.models.nezha import NEZHA
from kerasbert.models.registry import register_model
from kerasbert.models.rembert import RemBERT
from kerasbert.models.roberta import RoBERTa, XLMRobertaXL
from kerasbert.models.roformer import RoFormer, RoFormerV2
from kerasbert.models.t5 import T5, T5Decoder, T5Encoder
from kerasbert.models.xlnet import XLNet

register_model("bert", BERT)
register_model("unilm", BERT, application="unilm")
register_model("electra", ELECTRA)
# The other network of the same file, also electra_role="generator".
register_model("electra_generator", ELECTRAGenerator)
register_model("gpt", GPT)
register_model("gpt2", GPT2)
register_model("gpt2_ml", GPT2_ML)
register_model("albert", ALBERT)
register_model("albert_unshared", ALBERT, share_layers=False)
# Of the early naming only; model="albert" finds out which one a file has.
register_model("albert_zh", EarlyALBERTZh)
register_model("xlnet", XLNet)
register_model("nezha", NEZHA)
register_model("roformer", RoFormer)
register_model("roformer_v2", RoFormerV2)
# Chinese "RoBERTa" checkpoints (HFL wwm-ext, roberta_zh, Zhuiyi) become BERT: RoBERTa.select.
register_model("roberta", RoBERTa)
register_model("xlm_roberta", RoBERTa)
register_model("xlm_roberta_xl", XLMRobertaXL)
register_model("rembert", RemBERT)
register_model("ernie", ERNIE)

for _suffix, _part in (("", T5), ("_encoder", T5Encoder), ("_decoder", T5Decoder)):
    register_model(f"t5{_suffix}", _part)
    for _version in ("t5.1.0", "t5.1.1", "mt5.1.1"):
        register_model(f"{_version}{_suffix}", _part, version=_version)
