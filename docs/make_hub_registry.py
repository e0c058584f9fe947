"""Writes the hub's registry: ``python docs/make_hub_registry.py published.json``.

From the recorded facts about published checkpoints (a file that is not part of the project) and
from ``hub_additions.py`` and ``hub_citations.py``. The result, ``kerasbert/hub/models.json``, is
committed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from hub_additions import NO_RELEASES, OWN, RELEASES, WRONG_HASHES  # noqa: E402
from hub_citations import CITATIONS  # noqa: E402

from kerasbert.hub.names import normalise  # noqa: E402

TARGET = HERE.parent / "kerasbert" / "hub" / "models.json"
_SUFFIX = re.compile(r"\.(?:zip|tar\.gz)$")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KINDS = {
    "tensorflow1": "TensorFlow checkpoint",
    "tensorflow1_mesh": "Mesh TensorFlow checkpoint",
    "tensorflow1_saved_model": "TF-Hub SavedModel",
    "pytorch_hf": "PyTorch file of Hugging Face's names",
    "pytorch_fairseq": "fairseq checkpoint",
    "pytorch_fairseq_old": "fairseq checkpoint",
    "paddle": "Paddle files",
}
# Of these the json in the archive says other head counts than the model's page.
_NOT_FROM_TFHUB = ("albert_xlarge_v1", "albert_xlarge_v2")


def registry(facts: dict[str, Any]) -> dict[str, Any]:
    """The whole registry.

    Args:
        facts: the content of published.json.

    Raises:
        ValueError: an entry that is in no release, or an alias of two.
    """
    recorded = {entry["name"]: entry for entry in facts["checkpoints"]}
    covered = [name for release in RELEASES for name in release["published"]]
    left = set(recorded) - set(covered) - set(NO_RELEASES)
    if left or len(set(covered)) != len(covered) or set(covered) - set(recorded):
        raise ValueError(f"not in one release each: {sorted(left) or sorted(covered)}")
    models = [*(_model(release, recorded) for release in RELEASES), *OWN]
    _aliases(models)
    used = {model["citation"] for model in models}
    citations = {
        key: dict(zip(("authors", "title", "year", "address"), CITATIONS[key]))
        for key in sorted(used)
    }
    return {"citations": citations, "models": sorted(models, key=lambda model: model["name"])}


def _model(release: dict[str, Any], recorded: dict[str, dict[str, Any]]) -> dict[str, Any]:
    entries = [recorded[name] for name in release["published"]]
    owner = next((r for r in RELEASES if r["name"] == release.get("shares_archive_of")), None)
    facts = entries + ([recorded[owner["published"][0]]] if owner else [])
    is_named = bool(release.get("archive"))
    archives = [found for entry in entries or facts if (found := _archive(entry, is_named))]
    archives = _with_own(archives, release, owner, recorded, facts)
    model: dict[str, Any] = {
        "name": release["name"],
        "title": release.get("title") or _title(facts[0]["name"]),
        "aliases": _given_aliases(release, archives, owner),
        "family": release["family"],
        "options": release.get("options", {}),
        "language": release["language"],
        **_licence(facts),
        "citation": release["citation"],
        "parameters": _first(entries, "n_parameters_excl_optimizer"),
        "do_lower_case": next(
            (
                entry["tokenizer"]["do_lower_case"]
                for entry in facts
                if (entry.get("tokenizer") or {}).get("do_lower_case") is not None
            ),
            None,
        ),
        "vocabulary": _vocabulary(facts),
        "config": _config(facts, release.get("generator", False) and not entries),
        "archives": archives,
        "notes": [*_notes(entries), *release.get("notes", ())],
        "head_warnings": release.get("head_warnings", {}),
        "published": release["published"],
    }
    return model


def _title(recorded: str) -> str:
    """The publisher's name, without the archive's that may stand behind it."""
    words = [word for word in recorded.split(" (")[0].split(" ") if not word.startswith("chinese_")]
    return " ".join(words) or recorded


def _first(entries: list[dict[str, Any]], key: str):
    return next((entry[key] for entry in entries if entry.get(key) is not None), None)


def _config(facts: list[dict[str, Any]], is_generator: bool) -> dict[str, Any] | None:
    """The recorded json; ``is_generator``: the one that stands beside the discriminator's."""
    keys = ("generator_config",) if is_generator else ("config", "derived_config")
    found = (entry[key] for key in keys for entry in facts if entry.get(key))
    config = next(found, None)
    return _without_none(config) if config else None


def _without_none(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _vocabulary(facts: list[dict[str, Any]]) -> dict[str, Any] | None:
    found = next(
        (entry["vocab"] for entry in facts if (entry.get("vocab") or {}).get("size")), None
    )
    if found is None:
        return None
    ids = {}
    for key in ("pad", "unk", "cls", "sep", "mask", "bos", "eos"):
        match = re.match(r"(.+?):(\d+)", found.get(key) or "")
        if match:
            ids[key] = [match[1], int(match[2])]
    return {
        "size": found["size"],
        "kind": found["type"],
        "file": found.get("file"),
        "ids": ids,
        "note": found.get("note"),
    }


def _licence(facts: list[dict[str, Any]]) -> dict[str, Any]:
    said = next((entry["licence"] for entry in facts if entry.get("licence")), "not stated")
    match = re.search(r"Apache-2\.0|MIT|CC-BY-NC-4\.0", said)
    return {
        "licence": match[0] if match else "not stated",
        "licence_note": said,
        "non_commercial": bool(match) and "-NC-" in match[0],
    }


def _notes(entries: list[dict[str, Any]]) -> list[str]:
    found = (entry.get("notes") for entry in entries)
    return list(dict.fromkeys(note.strip("; ") for note in found if note))


def _file_names(archive: dict[str, Any]) -> list[str]:
    """The recorded names, without those that nobody saw."""
    names = [
        name.split(" (")[0] for name in archive.get("files") or () if "not verified" not in name
    ]
    return [name for name in names if not name.endswith("?") and "unknown" not in name]


def _archive(entry: dict[str, Any], is_named: bool) -> dict[str, Any] | None:
    """The recorded file of a release; None when too little is known of it."""
    archive = entry.get("archive") or {}
    # "name.zip (also another.zip)", "name (Baidu)": the first word is the name.
    name = (archive.get("name") or "").split(" (")[0]
    if not _SUFFIX.search(name):
        name = ""
    files = {file: {} for file in _file_names(archive)}
    hashes = entry.get("file_sha256_size") or {}
    for file, (sha256, size) in hashes.items() if entry["name"] not in WRONG_HASHES else ():
        if file in files and _SHA256.fullmatch(str(sha256)):
            files[file] = {"sha256": sha256, "size": size}
    url = (archive.get("url") or "").split(" ")[0]
    addresses = []
    if url.startswith("https://") and "huggingface.co" not in url:
        addresses.append({"kind": "direct", "url": url})
    if not files or not (name or addresses or is_named or archive.get("format") == "folder"):
        return None
    return {
        "name": name,
        "format": archive.get("format") or "zip",
        "kind": _KINDS[entry["framework"]],
        "size_stated": archive.get("size_stated"),
        "files": files,
        "addresses": addresses,
    }


def _with_own(archives, release, owner, recorded, facts) -> list[dict[str, Any]]:
    """The archives with the addresses of the additions, and the publisher's repository."""
    if release["addresses"] or release.get("archive"):
        if not archives:
            archives = [
                {
                    "name": "",
                    "format": "zip",
                    "kind": _KINDS[facts[0]["framework"]],
                    "size_stated": _first(facts, "size_stated"),
                    "files": {},
                    "addresses": [],
                }
            ]
        first = archives[0]
        first["name"] = release.get("archive") or first["name"]
        first["addresses"] = first["addresses"] + release["addresses"]
        first["format"] = "tar.gz" if first["name"].endswith(".tar.gz") else first["format"]
    tfhub = (facts[0].get("archive") or {}).get("tfhub")
    if tfhub and release["name"] not in _NOT_FROM_TFHUB and not owner:
        archives.append(
            {
                "name": f"{release['name']}_tfhub.tar.gz",
                "format": "tar.gz",
                "kind": _KINDS["tensorflow1_saved_model"],
                "size_stated": None,
                "files": {},
                "addresses": [{"kind": "direct", "url": f"{tfhub}?tf-hub-format=compressed"}],
            }
        )
        archives = [a for a in archives if a["name"] != "albert_base.tar.gz"]
    if owner:
        shared = _model(owner, recorded)["archives"]
        archives = [
            {**archive, "folder": owner["name"]}
            for archive in shared
            if archive["kind"] != _KINDS["pytorch_hf"]
        ]
    for archive in archives:
        archive["holds_config"] = any(file.endswith(".json") for file in archive["files"])
    if release["huggingface"]:
        repository = {
            "name": release["huggingface"],
            "format": "repository",
            "kind": _KINDS["pytorch_hf"],
            "size_stated": None,
            "files": {},
            "addresses": [{"kind": "huggingface", "url": f"hf://{release['huggingface']}"}],
            "holds_config": True,
        }
        archives = (
            [repository, *archives] if release.get("huggingface_first") else [*archives, repository]
        )
    return archives


def _given_aliases(release, archives, owner) -> list[str]:
    names = [*release["aliases"], *release["published"]]
    for archive in archives:
        if archive["format"] == "repository":
            names += [archive["name"], archive["name"].split("/")[1]]
        elif not owner and "_tfhub" not in archive["name"]:
            names.append(_SUFFIX.sub("", archive["name"]))
    own = {normalise(release["name"]), *map(normalise, release.get("no_aliases", ()))}
    found: dict[str, str] = {}
    for name in names:
        for part in (name, *name.split(" ")):  # "RBT3 chinese_rbt3_L-3_H-768_A-12"
            whole = part == name
            if part and "(" not in part and (whole or re.search(r"_L-\d", part)):
                key = normalise(part)
                if key not in own:
                    found.setdefault(key, part)
    return list(found.values())


def _aliases(models: list[dict[str, Any]]) -> None:
    owners: dict[str, str] = {}
    for model in models:
        for name in (model["name"], *model["aliases"]):
            other = owners.setdefault(normalise(name), model["name"])
            if other != model["name"]:
                raise ValueError(f"{name!r} would be an alias of {other} and of {model['name']}.")


def dumps(found: dict[str, Any]) -> str:
    """One model to a line of text each, so that a change shows as what it is."""
    lines = ['{"citations": {']
    lines.append(",\n".join(f"{json.dumps(k)}: {_dump(v)}" for k, v in found["citations"].items()))
    lines.append('}, "models": [')
    lines.append(",\n".join(map(_dump, found["models"])))
    return "\n".join([*lines, "]}", ""])


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Writes the data file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facts", type=Path, help="published.json")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    found = registry(json.loads(arguments.facts.read_text(encoding="utf-8")))
    arguments.output.write_text(dumps(found), encoding="utf-8")
    print(f"{len(found['models'])} models in {arguments.output}")


if __name__ == "__main__":
    main()
