"""Writes models.md: ``python docs/make_models.py``.

From the registered classes and, where they lie beside the checkout, the recorded facts.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from kerasbert import list_models  # noqa: E402
from kerasbert.models.bert import BERT  # noqa: E402
from kerasbert.models.registry import find_model, recognize  # noqa: E402
from kerasbert.models.transformer import Transformer  # noqa: E402

PAGE = HERE / "models.md"
FACTS = HERE.parents[1] / "shared" / "published" / "published.json"
INTRODUCTION = """# Models

Written by `python docs/make_models.py` from the code and from the recorded facts about published
releases; a test checks that it is up to date.

`build_transformer_model(checkpoint=...)` finds the family by itself, from the names of the
variables and from the json; `model=` says it where there is no checkpoint, or asks for another use
of the same file (`"unilm"`, `"electra_generator"`, `"albert_unshared"`).

## Families

"gelu" in a configuration stands for the erf or for the tanh form, depending on who published the
file: the column says what the family's TensorFlow graphs compute. `hidden_act="gelu_erf"` or
`"gelu_tanh"` overrides it. eps is that of the layer normalisation, where the json does not say.
"""
OPTIONS = """
## Options

Of every family: {common}.

Of BERT and the families made from it: {bert}.

Of one family only:

{own}

What they mean stands in the docstrings (`help(kerasbert.models.bert.BERT)`); any key of the
configuration may be given as well (`num_hidden_layers=3`, `hidden_dropout_prob=0.2`, ...).
"""
RELEASES = """
## Published releases

{count} releases. `python -m tests.published` writes each whose variables are recorded in small,
under its real names and dtypes, and loads it strictly; the weights themselves were not at hand.
Licences are what the publisher says: read them before you use a model.

| release | format | `model=` | licence |
|---|---|---|---|
"""
# Releases without recorded variables.
UNRECORDED = {"CLUE ELECTRA-tiny": "electra", "albert TF-Hub export (any size)": "albert"}
FORMATS = {
    "tensorflow1": "TensorFlow checkpoint",
    "tensorflow1_mesh": "Mesh TensorFlow checkpoint",
    "tensorflow1_saved_model": "TF-Hub SavedModel",
    "pytorch_hf": "safetensors",
}


def code(names) -> str:
    """Names in code type."""
    return ", ".join(f"`{name}`" for name in names)


def families() -> str:
    """One row per class."""
    names = defaultdict(list)
    for name in list_models():
        names[find_model(name)[0]].append(name)
    lines = [
        "| `model=` | what | applications | gelu | eps |",
        "|---|---|---|---|---|",
    ]
    for family, known in sorted(names.items(), key=lambda item: item[1][0]):
        fields = {field.name: field.default for field in dataclasses.fields(family.config_class)}
        first = inspect.getdoc(family).split("\n\n")[0].replace("\n", " ")
        first = re.sub(r":class:`(\w+)`", r"\1", first).replace("``", "`")
        lines.append(
            f"| {code(known)} | {first} | {', '.join(family.applications)} "
            f"| {family.gelu.removeprefix('gelu_')} | {fields['layer_norm_eps']:g} |"
        )
    return "\n".join(lines) + "\n"


def options() -> str:
    """The keyword arguments of each class."""
    common, bert = Transformer.accepted_options(), BERT.accepted_options()
    own = []
    for family in dict.fromkeys(find_model(name)[0] for name in list_models()):
        further = sorted(family.accepted_options() - bert)
        if further:
            own.append(f"- {family.family}: {code(further)}")
    return OPTIONS.format(
        common=code(sorted(common)),
        bert=code(sorted(bert - common)),
        own="\n".join(dict.fromkeys(own)),
    )


def releases(entries: list[dict]) -> str:
    """One row per published release that is read."""
    rows = []
    for entry in entries:
        if entry["framework"] in FORMATS:
            shapes = {v["name"]: tuple(v["shape"]) for v in entry.get("variables") or ()}
            config = entry.get("config") or {}
            guess = UNRECORDED.get(entry["name"]) or recognize(shapes, config) or "bert"
            family = find_model(guess)[0]
            family = family.select(shapes, config)
            licence = (entry.get("licence") or "not stated").replace("|", "/")
            rows.append(
                f"| {entry['name']} | {FORMATS[entry['framework']]} | `{family.family}` "
                f"| {licence} |"
            )
    return RELEASES.format(count=len(rows)) + "\n".join(rows) + "\n"


def page() -> str:
    """The whole page; without the facts, the releases as they stand."""
    text = INTRODUCTION + "\n" + families() + options()
    if FACTS.exists():
        return text + releases(json.loads(FACTS.read_text())["checkpoints"])
    written = PAGE.read_text(encoding="utf-8")
    return text + written[written.index("\n## Published releases") :]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
