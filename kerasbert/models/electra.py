"""ELECTRA (Clark et al. 2020, arXiv:2003.10555): a discriminator and the generator it learnt from.

Google's English models, HFL's Chinese ones (180g, small_ex, legal) and CLUE's. Both networks are
BERT in form and lie in one file: embeddings are shared, and each has a projection to its own width
where that differs from the embeddings'. There is no pooler and no next sentence head.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from kerasbert.checkpoints import huggingface as hf
from kerasbert.checkpoints.mapping import NameTable, Op, Row, choose_table, dense, norm
from kerasbert.checkpoints.report import LoadReport
from kerasbert.checkpoints.source import CheckpointFiles
from kerasbert.layers import Dense
from kerasbert.models import bert, bert_names
from kerasbert.models.electra_config import KNOWN_HEADS, files_for
from kerasbert.models.sizes import revealed_sizes

logger = logging.getLogger("kerasbert")

Shapes = Mapping[str, tuple[int, ...]]


def _google(scope: str, *heads: Row) -> tuple[Row, ...]:
    """Google's names of one network: BERT's below another root, with shared embeddings."""

    def renamed(part: str, root: str) -> tuple[Row, ...]:
        return tuple(
            dataclasses.replace(row, tensor=root + row.tensor[len("bert") :])
            for row in _without_mapping(bert_names.ROWS)
            if row.tensor.startswith(f"bert/{part}/")
        )

    mapping = dense("Embedding-Mapping", f"{scope}/embeddings_project")
    return (*renamed("embeddings", "electra"), *mapping, *renamed("encoder", scope), *heads)


def _huggingface(*heads: Row) -> tuple[Row, ...]:
    """Hugging Face's names, where each network is a file of its own."""
    embeddings = _without_mapping(hf.embeddings("electra."))
    mapping = hf.linear("Embedding-Mapping", "electra.embeddings_project")
    return (*embeddings, *mapping, *hf.blocks("electra."), *heads)


def _without_mapping(rows: Iterable[Row]) -> list[Row]:
    """BERT's rows without its projection of embeddings, which has another name here."""
    return [row for row in rows if not row.variable.startswith("Embedding-Mapping/")]


class ELECTRA(bert.BERT):
    """The discriminator, which tells for each token whether it was replaced.

    Outputs: the hidden states (batch, length, hidden_size); or, where heads are asked for, these
    alone: the vector of [CLS] (batch, hidden_size), then the probability of having been replaced
    (batch, length, 1).

    To train both networks together, build this one with ``return_keras_model=False`` and the
    generator with a ``prefix`` and with ``layers`` holding this one's four layers Embedding-Token,
    Embedding-Segment, Embedding-Position and Embedding-Norm.

    Args:
        config: sizes and constants.
        with_pool: True for the vector of [CLS], as Google's code takes it for classification: no
            layer lies between, as the files hold no pooler. Add a Dense layer for one.
        with_discriminator: True for the sigmoid head, or an activation's name ("linear" for
            logits).
        electra_role: "discriminator" or "generator"; None is the discriminator, except of files
            that hold a generator alone.
        **options: as :class:`BERT`, without its ``with_nsp`` and ``with_mlm``.

    Raises:
        ValueError: for heads and applications that the network was not trained for.
    """

    family = "electra"
    role: ClassVar[str] = "discriminator"
    applications = ("encoder",)

    def __init__(
        self,
        config,
        *,
        with_discriminator: bool | str = False,
        electra_role: str | None = None,
        **options,
    ):
        if electra_role not in (None, self.role):
            raise ValueError(
                f"electra_role of a model {self.family!r} must be {self.role!r}; it chooses between"
                f" 'discriminator' and 'generator' for model='electra'. Received: {electra_role!r}"
            )
        self.check_heads({**options, "with_discriminator": with_discriminator})
        super().__init__(config, **options)
        self.with_discriminator = with_discriminator

    def check_heads(self, options: Mapping[str, Any]) -> None:
        """Raises ValueError for options that published ELECTRA weights cannot serve."""
        if isinstance(options.get("with_pool"), str):
            raise ValueError(
                "ELECTRA has no pooler: with_pool=True is the vector of [CLS] itself, and there "
                "are no weights for a layer with an activation. Add a Dense layer after it for "
                f"one. Received: with_pool={options['with_pool']!r}"
            )
        if options.get("with_nsp"):
            raise ValueError(
                "ELECTRA was not trained on next sentence prediction and has no such head. For "
                "pairs of texts use with_pool=True and a layer of your own. "
                f"Received: with_nsp={options['with_nsp']!r}"
            )
        self.check_role(options)

    def check_role(self, options: Mapping[str, Any]) -> None:
        """Raises ValueError for what only the other network has."""
        application = options.get("application", "encoder")
        if application in ("lm", "unilm") or options.get("with_mlm"):
            what = "with_mlm" if application == "encoder" else f"application={application!r}"
            raise ValueError(
                f"{what} needs an MLM head, and ELECTRA's discriminator has none: it predicts "
                "which tokens were replaced, not which they are. The generator of the same file "
                "has one: model='electra_generator'."
            )

    # ---- the heads ------------------------------------------------------------------------------

    def apply_heads(self, x) -> list:
        if not self.with_discriminator:
            return super().apply_heads(x)
        pooled = [self.apply_pooler(x)] if self.with_pool else []
        return [*pooled, self.apply_discriminator(x)]

    def apply_pooler(self, x):
        """The vector of [CLS]."""
        return self.layer(self.pooled_token, "Pooler")(x)

    def apply_discriminator(self, x):
        """Whether each token was replaced, (batch, length, 1)."""
        config = self.config
        x = self.layer(
            Dense,
            "Discriminator-Dense",
            units=config.hidden_size,
            activation=self.activation,
            stddev=config.initializer_range,
        )(x)
        return self.layer(
            Dense,
            "Discriminator-Prediction",
            units=1,
            activation="sigmoid" if self.with_discriminator is True else self.with_discriminator,
            stddev=config.initializer_range,
            dtype="float32",
        )(x)

    # ---- checkpoints ----------------------------------------------------------------------------

    tables = (
        NameTable(
            "google",
            _google(
                "electra",
                *dense("Discriminator-Dense", "discriminator_predictions/dense"),
                *dense("Discriminator-Prediction", "discriminator_predictions/dense_1"),
            ),
            optional=(
                r"generator(_predictions)?/.*",
                r"discriminator_predictions/.*",
                r"task_specific/.*",  # the heads of Google's fine-tuning
            ),
        ),
        NameTable(
            "huggingface",
            _huggingface(
                *hf.linear("Discriminator-Dense", "discriminator_predictions.dense"),
                *hf.linear(
                    "Discriminator-Prediction", "discriminator_predictions.dense_prediction"
                ),
            ),
            optional=(r"discriminator_predictions\..*", *hf.OPTIONAL),
            root="electra.",
        ),
    )
    marks = (
        r"electra/embeddings/word_embeddings",
        r"electra\.embeddings\.word_embeddings\.weight",
        r"embeddings_project\.weight",
    )
    model_types = ("electra",)

    @classmethod
    def select(cls, shapes: Shapes, config: Mapping[str, Any]) -> type[ELECTRA]:
        role = config.get("electra_role")
        if role is None and generator_only(shapes):
            role = "generator"
        return ELECTRAGenerator if cls is ELECTRA and role == "generator" else cls

    @classmethod
    def with_own_config(cls, files: CheckpointFiles, shapes: Shapes) -> CheckpointFiles:
        sizes = {
            network.role: revealed_sizes(choose_table(network.tables, shapes), shapes)
            for network in (ELECTRA, ELECTRAGenerator)
        }
        return files_for(cls.role, files, sizes)

    @classmethod
    def infer_config(cls, shapes: Shapes, config: Mapping[str, Any]) -> dict[str, Any]:
        found = super().infer_config(shapes, config)
        hidden_size = config.get("hidden_size") or found.get("hidden_size")
        if config.get("num_attention_heads") is None and hidden_size in KNOWN_HEADS:
            found["num_attention_heads"] = KNOWN_HEADS[hidden_size]
            logger.info(
                "num_attention_heads=%d is assumed, as in every released ELECTRA of hidden_size %d",
                *(KNOWN_HEADS[hidden_size], hidden_size),
            )
        return found

    @classmethod
    def hints(cls, report: LoadReport, shapes: Shapes) -> list[str]:
        missing = [tensor for _, tensor in report.missing]
        if any(tensor.startswith("discriminator_predictions") for tensor in missing):
            return ["this file has no discriminator head: build without with_discriminator."]
        return []


class ELECTRAGenerator(ELECTRA):
    """The generator, a smaller masked language model over the same embeddings.

    Outputs: as :class:`ELECTRA`, with the MLM probabilities (batch, length, vocab_size) in place
    of the discriminator's.

    Args:
        config: sizes and constants of the generator.
        with_mlm: as for :class:`BERT`.
        **options: as :class:`ELECTRA`, without its ``with_discriminator``.
    """

    family = "electra_generator"
    role = "generator"
    applications = bert.BERT.applications
    marks, model_types = ELECTRA.marks, ELECTRA.model_types
    published_with = ("electra",)

    def check_role(self, options: Mapping[str, Any]) -> None:
        if options.get("with_discriminator"):
            raise ValueError(
                "with_discriminator is a head of ELECTRA's discriminator; the generator has the "
                "MLM head, with_mlm. For the discriminator of the same file: model='electra'."
            )

    tables = (
        NameTable(
            "google",
            _google(
                "generator",
                *dense("MLM-Dense", "generator_predictions/dense"),
                *norm("MLM-Norm", "generator_predictions/LayerNorm"),
                Row("MLM-Bias/bias", "generator_predictions/output_bias", Op.TOKENS),
            ),
            optional=(
                r"electra/(encoder|embeddings_project)/.*",
                r"(generator|discriminator)_predictions/.*",
                r"task_specific/.*",
            ),
        ),
        NameTable(
            "huggingface",
            _huggingface(
                *hf.linear("MLM-Dense", "generator_predictions.dense"),
                *hf.norm("MLM-Norm", "generator_predictions.LayerNorm"),
                Row("MLM-Bias/bias", "generator_lm_head.bias", Op.TOKENS),
            ),
            # generator_lm_head.weight is a copy of the token table
            optional=(r"generator_(predictions|lm_head)\..*", *hf.OPTIONAL),
            root="electra.",
        ),
    )

    @classmethod
    def recognizes(cls, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        names = list(names)
        return generator_only(names) and super().recognizes(names, config)

    @classmethod
    def hints(cls, report: LoadReport, shapes: Shapes) -> list[str]:
        if not any(name.startswith("generator") for name in shapes):
            return ["this file holds no generator: of the discriminator alone only model='electra' "
                    "can be built."]  # fmt: skip
        if any(tensor.startswith("generator_predictions") for _, tensor in report.missing):
            return ["this file has no MLM head: build without with_mlm."]
        return []


def generator_only(names: Iterable[str]) -> bool:
    """Whether a file holds a generator and no discriminator."""
    names = set(names)
    if any(name.startswith("generator/") for name in names):
        return not any(name.startswith("electra/encoder/") for name in names)
    return "generator_predictions.dense.weight" in names
