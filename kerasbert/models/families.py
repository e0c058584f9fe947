"""The families that come with the package, under the names that ``model=`` may have."""

from __future__ import annotations

from kerasbert.models.bert import BERT
from kerasbert.models.registry import register_model

register_model("bert", BERT)
# Chinese "RoBERTa" checkpoints (HFL wwm-ext, roberta_zh, Zhuiyi) are BERT in names and graph.
register_model("roberta", BERT)
register_model("unilm", BERT, application="unilm")
