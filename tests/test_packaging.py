"""What pip is told, what the wheel holds, and that the frame (make, CI) does what it says."""

from __future__ import annotations

import ast
import email
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("kerasbert", "pretraining")
STACKS = ("default", "addons", "legacy")
NEEDS_MAKE = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")

EXTRAS = {
    *("addons", "legacy", "bpe", "pretraining", "notebooks", "metrics", "bench", "faiss", "serve"),
    *("onnx", "beam", "hub", "test", "lint"),
}


def build(source: Path, hook: str, target: Path) -> Path:
    """Calls a hook of setuptools in a process where TensorFlow cannot be imported."""
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        f"from setuptools import build_meta; print(build_meta.{hook}(sys.argv[1]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=source, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return target / result.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what is built, since building writes beside the sources."""
    copy = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "*.egg-info")
    for name in (*PACKAGES, "constraints", "tests", "examples"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=ignored)
    for path in CHECKOUT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="module")
def metadata(source, tmp_path_factory) -> email.message.Message:
    """The metadata that pip reads, as setuptools makes it from pyproject.toml."""
    folder = build(source, "prepare_metadata_for_build_wheel", tmp_path_factory.mktemp("metadata"))
    return email.message_from_string((folder / "METADATA").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def requirements(metadata) -> list[Requirement]:
    return [Requirement(line) for line in metadata.get_all("Requires-Dist")]


def of_extra(requirements: list[Requirement], extra: str) -> dict[str, Requirement]:
    """The requirements that an extra adds, by name; those of the package itself for ""."""
    chosen = {}
    for requirement in requirements:
        named = re.findall(r"""extra == ["']([\w-]+)["']""", str(requirement.marker or ""))
        if named == ([extra] if extra else []):
            chosen[canonicalize_name(requirement.name)] = requirement
    return chosen


# Metadata


def test_name_and_licence(metadata):
    assert metadata["Name"] == "kerasbert"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.9"
    assert metadata["Description-Content-Type"].startswith("text/markdown")


def test_version_is_read_without_importing_tensorflow(metadata):
    tree = ast.parse((CHECKOUT / "kerasbert" / "__init__.py").read_text(encoding="utf-8"))
    (version,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    )
    assert metadata["Version"] == version


def test_python_versions_are_classified(metadata):
    named = [line.rpartition(" ")[2] for line in metadata.get_all("Classifier") if "3." in line]
    assert named == ["3.9", "3.10", "3.11", "3.12", "3.13"]


def test_what_the_package_requires(requirements):
    assert set(of_extra(requirements, "")) == {
        "tensorflow",
        "tensorflow-text",
        "keras",
        "filelock",
        "h5py",
        "jieba",
        "numpy",
        "requests",
        "safetensors",
        "sentencepiece",
        "tqdm",
    }


def test_nothing_can_be_downgraded(requirements):
    """Lower bounds alone: pip keeps whatever newer version is installed."""
    for name, requirement in of_extra(requirements, "").items():
        assert [part.operator for part in requirement.specifier] == [">="], name


def test_no_extra_but_addons_pins_a_stack(requirements):
    for extra in EXTRAS - {"addons"}:
        for name, requirement in of_extra(requirements, extra).items():
            assert {part.operator for part in requirement.specifier} <= {">="}, (extra, name)
            assert name not in ("tensorflow", "keras"), extra


def test_extras(metadata):
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS


def test_nothing_asks_for_cuda_or_for_another_wheel_of_tensorflow(requirements):
    for requirement in requirements:
        assert not requirement.extras, requirement
        if requirement.name != "faiss-cpu":  # the only name that FAISS has
            words = "cuda|nvidia|gpu|cpu|tpu|rocm|nightly"
            assert not re.search(words, requirement.name), requirement


@pytest.mark.parametrize(
    ("version", "allowed"),
    [("2.14.1", False), ("2.15.0", True), ("2.15.1", True), ("2.21.0", True), ("2.30.0", True)],
)
def test_range_of_tensorflow(requirements, version, allowed):
    assert of_extra(requirements, "")["tensorflow"].specifier.contains(version) == allowed


def test_addons_is_the_stack_of_tensorflow_2_15(requirements):
    addons = {name: item.specifier for name, item in of_extra(requirements, "addons").items()}
    assert addons == {
        "tensorflow": SpecifierSet("==2.15.*"),
        "keras": SpecifierSet("==2.15.*"),
        "tensorflow-addons": SpecifierSet("==0.23.*"),
        "setuptools": SpecifierSet(">=77,<81"),
    }


def test_legacy_is_tf_keras(requirements):
    assert list(of_extra(requirements, "legacy")) == ["tf-keras"]


# tensorflow-text has wheels for these platforms and no others (looked up for 2.15 to 2.21).
@pytest.mark.parametrize(
    ("system", "machine", "python", "expected"),
    [
        ("linux", "x86_64", "3.9", True),
        ("linux", "x86_64", "3.13", True),
        ("linux", "aarch64", "3.11", True),
        ("darwin", "arm64", "3.10", True),
        ("darwin", "arm64", "3.13", True),
        ("darwin", "x86_64", "3.11", True),
        ("darwin", "x86_64", "3.12", False),
        ("win32", "AMD64", "3.10", False),
        ("win32", "AMD64", "3.13", False),
    ],
)
def test_tensorflow_text_is_required_where_it_has_wheels(
    requirements, system, machine, python, expected
):
    marker = of_extra(requirements, "")["tensorflow-text"].marker
    environment = {
        "sys_platform": system,
        "platform_machine": machine,
        "python_version": python,
        "extra": "",
    }
    assert marker.evaluate(environment) == expected


def test_own_wheel_of_tensorflow_is_possible(requirements):
    """All but tensorflow and tensorflow-text can be installed without bringing `tensorflow`.

    So `pip install tensorflow-cpu keras h5py jieba numpy safetensors tqdm` and then
    `pip install --no-deps kerasbert tensorflow-text` leave one wheel in the folder `tensorflow`.
    """
    rest = set(of_extra(requirements, "")) - {"tensorflow", "tensorflow-text"}
    seen: set[str] = set()
    while rest:
        name = rest.pop()
        seen.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                rest |= {canonicalize_name(requirement.name)} - seen
    assert {"jieba", "tqdm"} <= seen
    assert "tensorflow" not in seen


def test_installed_versions_are_within_the_ranges(requirements):
    for name, requirement in of_extra(requirements, "").items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # another wheel of TensorFlow, or none of tensorflow-text
        assert requirement.specifier.contains(installed, prereleases=True), (name, installed)


# Built packages


def package_files() -> set[str]:
    """All that a user needs at run time: everything in the packages' folders."""
    return {
        path.relative_to(CHECKOUT).as_posix()
        for package in PACKAGES
        for path in (CHECKOUT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def test_every_folder_with_modules_is_a_package():
    files = package_files()
    folders = {name.rpartition("/")[0] for name in files if name.endswith(".py")}
    assert {folder for folder in folders if f"{folder}/__init__.py" not in files} == set()


def test_the_package_is_marked_as_typed():
    assert "kerasbert/py.typed" in package_files()


@pytest.mark.slow
def test_wheel_holds_the_packages_and_nothing_else(source, tmp_path):
    wheel = build(source, "build_wheel", tmp_path)
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    information = {name for name in names if ".dist-info/" in name}
    assert names - information == package_files()
    assert any(name.endswith("/licenses/LICENSE") for name in information)


@pytest.mark.slow
def test_sdist_can_be_tested_and_built(source, tmp_path):
    with tarfile.open(build(source, "build_sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "Makefile", "README.md", "pyproject.toml", "setup.py"}
    needed |= {"tests/conftest.py", "constraints/default.txt"} | package_files()
    assert needed - names == set()


def test_licence_is_the_standard_text():
    text = (CHECKOUT / "LICENSE").read_text(encoding="utf-8")
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text


# make and CI


def run(*command: str, **variables: str) -> subprocess.CompletedProcess:
    # Of an outer make nothing is inherited: its flags, its STACK.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "STACK", "ARGS", "PYTHON")
    }
    return subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**environment, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@NEEDS_MAKE
def test_make_help_lists_the_targets():
    result = run("make", "help")
    listed = re.findall(r"^  make ([\w-]+) ", result.stdout, re.MULTILINE)
    assert {"demo", "test", "check", "lint", "bench", "clean", "help"} <= set(listed)


@NEEDS_MAKE
def test_make_refuses_an_unknown_stack():
    result = run("make", "test", "STACK=jax")
    assert result.returncode != 0
    assert 'STACK is default, addons or legacy, but "jax" was given' in result.stderr


@NEEDS_MAKE
@pytest.mark.parametrize("stack", STACKS)
def test_make_test_of_a_stack(stack):
    """The commands, not run: an environment and constraints of its own for each stack."""
    result = run("make", "--dry-run", "--always-make", "test", f"STACK={stack}")
    assert result.returncode == 0, result.stderr
    environment = ".venv" if stack == "default" else f".venv-{stack}"
    assert f"{environment}/bin/python -m pytest" in result.stdout
    assert f"--constraint constraints/{stack}.txt" in result.stdout
    assert ("-m smoke" in result.stdout) == (stack == "legacy")
    assert (CHECKOUT / "constraints" / f"{stack}.txt").is_file()


@NEEDS_MAKE
def test_make_says_when_no_python_fits(tmp_path):
    """With nothing on the path but the tools that make itself calls."""
    for tool in ("sh", "make"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    for name in ("pyproject.toml", "setup.py"):
        (tmp_path / name).touch()
    (tmp_path / "Makefile").write_text(makefile, encoding="utf-8")
    result = run("make", "-C", str(tmp_path), "test", "STACK=addons", PATH=str(tmp_path))
    assert result.returncode != 0
    assert ".venv-addons needs Python 3.9 to 3.11, and there is none" in result.stderr


FAKE_MAKE = """#!/bin/sh
echo "ran $*"
case "$*" in
  *"STACK=$FAILING") echo "=== 1 failed, 2 passed in 3.21s ==="; exit 2 ;;
  *"STACK=$BROKEN") echo "pip could not install"; exit 2 ;;
  *) echo "=== 7 passed, 1 skipped in 61.05s (0:01:01) ===" ;;
esac
echo "after pytest"
"""


def run_ci(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    for name, text in (("make", FAKE_MAKE), ("chromium", "#!/bin/sh\n")):  # nothing is installed
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    chosen = {"FAILING": "none", "BROKEN": "none", **variables}
    return run("bash", str(CHECKOUT / ".ci" / "run"), PATH=path, **chosen)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
class TestCi:
    def test_ends_with_the_closing_lines(self, tmp_path):
        result = run_ci(tmp_path)
        assert result.returncode == 0, result.stderr
        closing = "=== 7 passed, 1 skipped in 61.05s (0:01:01) ==="
        assert result.stdout.splitlines()[-3:] == [f"{s}: passed: {closing}" for s in STACKS]

    @pytest.mark.parametrize("failing", STACKS)
    def test_a_failure_fails_it_after_all_have_run(self, tmp_path, failing):
        result = run_ci(tmp_path, FAILING=failing)
        assert result.returncode == 1
        lines = result.stdout.splitlines()
        assert [f"ran test STACK={stack}" in lines for stack in STACKS] == [True] * 3
        assert f"{failing}: FAILED: === 1 failed, 2 passed in 3.21s ===" in lines[-3:]
        assert sum(": passed: " in line for line in lines[-3:]) == 2

    def test_tests_that_did_not_run_are_a_failure(self, tmp_path):
        result = run_ci(tmp_path, BROKEN="addons")
        assert result.returncode == 1
        assert result.stdout.splitlines()[-2].startswith("addons: FAILED: the tests did not run")

    def test_it_can_be_executed(self):
        assert os.access(CHECKOUT / ".ci" / "run", os.X_OK)
