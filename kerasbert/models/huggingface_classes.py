"""The model classes of the Transformers library: which one a model's parts make."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kerasbert.checkpoints.huggingface import linear
from kerasbert.checkpoints.mapping import Row

# The layers by which a part beside the body is known.
PARTS = {
    "Pooler-Dense": "pooler",
    "NSP-Proba": "nsp",
    "MLM-Bias": "mlm",
    "Discriminator-Prediction": "discriminator",
    "Embedding-Mask": "mask vector",
    "Decoder-Output-Norm": "decoder",
    "Decoder-Output-LM-Activation": "lm",
    "LM-Activation": "lm",
}

# The layers of a task's head, under the names that these rows give them.
TASK, TASK_DENSE = "Task", "Task-Dense"

SEQUENCE, TOKENS = "sequence_classification", "token_classification"
ANSWER, CHOICE = "question_answering", "multiple_choice"
TASKS = (SEQUENCE, TOKENS, ANSWER, CHOICE)


@dataclass(frozen=True)
class TaskClass:
    """A class for a task.

    Attributes:
        suffix: of its name.
        rows: of the head's variables; those of the pooler stand in place of the family's own.
        parts: that the class has besides.
        pooler_activation: of the dense layer before the last; None where there is none.
    """

    suffix: str
    rows: tuple[Row, ...]
    parts: frozenset[str] = frozenset()
    pooler_activation: str | None = None


def _tasks(pooled: TaskClass, choice: TaskClass | None, answer: str = "ForQuestionAnswering"):
    """The classes of a family by task."""
    return {
        SEQUENCE: pooled,
        TOKENS: TaskClass("ForTokenClassification", linear(TASK, "classifier")),
        ANSWER: TaskClass(answer, linear(TASK, "qa_outputs")),
        **({CHOICE: choice} if choice else {}),
    }


def _pooled(suffix: str, *rows: Row, activation: str = "tanh") -> TaskClass:
    return TaskClass(suffix, rows, frozenset({"pooler"}), activation)


_CHOICE = _pooled("ForMultipleChoice", *linear(TASK, "classifier"))
# A pooler of the model's own, and one layer on it.
_ON_POOLER = _tasks(
    _pooled("ForSequenceClassification", *linear(TASK, "classifier")),
    _CHOICE,
)
# Two layers on the first token, which are the head.
_TWO_LAYERS = (*linear("Pooler-Dense", "classifier.dense"), *linear(TASK, "classifier.out_proj"))


def _two_layers(activation: str, choice: TaskClass | None) -> dict[str, TaskClass]:
    return _tasks(_pooled("ForSequenceClassification", *_TWO_LAYERS, activation=activation), choice)


_ELECTRA = _tasks(
    TaskClass(
        "ForSequenceClassification",
        (*linear(TASK_DENSE, "classifier.dense"), *linear(TASK, "classifier.out_proj")),
        pooler_activation="gelu_erf",
    ),
    None,
)
_XLNET = _tasks(
    _pooled("ForSequenceClassification", *linear(TASK, "logits_proj")),
    _pooled("ForMultipleChoice", *linear(TASK, "logits_proj")),
    answer="ForQuestionAnsweringSimple",
)

_MODEL = {"Model": {"pooler"}}
_MLM = {**_MODEL, "ForMaskedLM": {"mlm"}}
_NSP = {"ForNextSentencePrediction": {"pooler", "nsp"},
        "ForPreTraining": {"pooler", "nsp", "mlm"}}  # fmt: skip
# What a class lacks or leaves unused is the worse, the more it is a head of its own.
_WEIGHTS = {"pooler": 1}


@dataclass(frozen=True)
class Architecture:
    """One ``model_type`` of the Transformers library.

    Attributes:
        model_type: its name in ``config.json``.
        stem: what its classes are called.
        classes: the parts that each class for pretraining or for vectors has, by suffix.
        tasks: the classes for tasks.
        causal: suffix of the class that reads from left to right.
        fixed_gelu: whether the MLM head has gelu (erf) whatever the configuration says.
    """

    model_type: str
    stem: str
    classes: dict[str, set[str]]
    tasks: dict[str, TaskClass]
    causal: str | None = "ForCausalLM"
    fixed_gelu: bool = False

    def choose(self, parts: Collection[str], causal: bool = False) -> str:
        """The suffix of the class that lacks and leaves unused the least of these parts.

        Args:
            parts: that the model has beside its body.
            causal: whether it reads from left to right.
        """
        parts = set(parts)
        if causal and self.causal and "mlm" in parts:
            return self.causal

        def badness(suffix: str) -> tuple[int, int]:
            wanted = self.classes[suffix]
            return _weight(wanted - parts), _weight(parts - wanted)

        return min(self.classes, key=badness)


def _weight(parts: Collection[str]) -> int:
    return sum(_WEIGHTS.get(part, 2) for part in parts)


BERT = Architecture("bert", "Bert", {**_MLM, **_NSP}, _ON_POOLER, "LMHeadModel")
REMBERT = Architecture("rembert", "RemBert", _MLM, _ON_POOLER)


def _roberta(model_type: str, stem: str) -> Architecture:
    return Architecture(model_type, stem, _MLM, _two_layers("tanh", _CHOICE), fixed_gelu=True)


# By our families' names. Where several share a graph, the first is taken unless one is asked for.
ARCHITECTURES: dict[str, tuple[Architecture, ...]] = {
    "bert": (BERT,),
    "albert": (
        Architecture(
            "albert",
            "Albert",
            {**_MLM, "ForPreTraining": {"pooler", "nsp", "mlm"}},
            _ON_POOLER,
            causal=None,
        ),
    ),
    "electra": (
        Architecture(
            "electra", "Electra", {"Model": set(), "ForPreTraining": {"discriminator"}}, _ELECTRA
        ),
    ),
    "electra_generator": (
        Architecture(
            "electra",
            "Electra",
            {"Model": set(), "ForMaskedLM": {"mlm"}},
            _ELECTRA,
            fixed_gelu=True,
        ),
    ),
    "ernie": (Architecture("ernie", "Ernie", {**_MLM, **_NSP}, _ON_POOLER),),
    "nezha": (Architecture("nezha", "Nezha", {**_MLM, **_NSP}, _ON_POOLER, causal=None),),
    "rembert": (REMBERT,),
    "roberta": (
        _roberta("roberta", "Roberta"),
        _roberta("xlm-roberta", "XLMRoberta"),
        _roberta("camembert", "Camembert"),
    ),
    "xlm_roberta_xl": (_roberta("xlm-roberta-xl", "XLMRobertaXL"),),
    "roformer": (
        # The activation between the two layers is that of the configuration.
        Architecture(
            "roformer",
            "RoFormer",
            {"Model": set(), "ForMaskedLM": {"mlm"}},
            _two_layers("", None),
        ),
    ),
    "xlnet": (
        Architecture(
            "xlnet",
            "XLNet",
            {"Model": {"mask vector"}, "LMHeadModel": {"mask vector", "mlm"}},
            _XLNET,
            causal=None,
        ),
    ),
    **{
        family: (Architecture(model_type, stem, {"LMHeadModel": {"lm"}}, {}, causal=None),)
        for family, model_type, stem in (
            ("gpt", "openai-gpt", "OpenAIGPT"),
            ("gpt2", "gpt2", "GPT2"),
        )
    },
    "t5": tuple(
        Architecture(
            model_type,
            stem,
            {"Model": {"decoder"}, "ForConditionalGeneration": {"decoder", "lm"}},
            {},
            causal=None,
        )
        for model_type, stem in (("t5", "T5"), ("mt5", "MT5"))
    ),
    "t5_encoder": (Architecture("t5", "T5", {"EncoderModel": set()}, {}, causal=None),),
}
# What other families are there, and why an export is refused.
ABSENT = {
    "albert_zh": "it has no class that projects tokens' vectors before positions are added",
    "gpt2_ml": "it has no class with Grover's normalisations",
    "roformer_v2": "it has no class without biases and without weights in its normalisations",
    "t5_decoder": "a decoder alone is no model there; save the whole T5",
}


def architecture_of(family: str, model_type: str | None = None) -> Architecture:
    """The architecture for one of our families.

    Args:
        family: our name.
        model_type: which one of several with the same graph, such as "xlm-roberta".

    Raises:
        ValueError: the library has none.
    """
    if family not in ARCHITECTURES:
        reason = ABSENT.get(family, "its classes are listed in docs/converting.md")
        raise ValueError(
            f"models of the family {family!r} are not written for the Transformers library: "
            f"{reason}. Save it in Google's format (save_weights_as_checkpoint) or as a Keras "
            "model."
        )
    choices = ARCHITECTURES[family]
    return next((choice for choice in choices if choice.model_type == model_type), choices[0])
