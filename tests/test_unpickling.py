"""Pickles read as data: everything that is plain, and nothing that would be run."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pickle
import struct
import tracemalloc
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbert.checkpoints import unpickling
from kerasbert.checkpoints.errors import CheckpointFormatError
from kerasbert.checkpoints.pickled_arrays import plain_name
from kerasbert.checkpoints.pickled_tensors import storage_of, torch_name
from kerasbert.checkpoints.unpickling import Record, Span, unpickle
from tests.pickles import Built, Call, Global, code, pickled


def read(data: bytes, names=torch_name, persistent=storage_of):
    return unpickle(io.BytesIO(data), len(data), Path("model.bin"), names, persistent)


def refused(data: bytes, message: str = "cannot be read as a file of weights", **options) -> None:
    with pytest.raises(CheckpointFormatError, match=message):
        read(data, **options)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        | st.tuples(inner, inner, inner, inner)
        | st.tuples(inner)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@settings(max_examples=40)
@given(value=PLAIN)
def test_plain_data(protocol, value):
    assert read(pickle.dumps(value, protocol)) == value


def test_bytes_of_protocol_2_are_a_text_that_stands_for_them():
    assert read(pickle.dumps({"a": bytes(range(256))}, 2)) == {
        "a": bytes(range(256)).decode("latin1")
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_dicts_of_other_classes(protocol):
    counts = defaultdict(int, a=1)
    value = OrderedDict(a=Counter("xxy"), b=counts, c=counts)
    value._metadata = OrderedDict()  # as the state dicts of PyTorch have
    found = read(pickle.dumps(value, protocol))
    assert found == {"a": {"x": 2, "y": 1}, "b": {"a": 1}, "c": {"a": 1}}
    assert found["b"] is found["c"]


def test_an_ordered_dict_of_python_2():
    pairs = Call(Global("collections", "OrderedDict"), ([["a", 1], ["b", [2]]],))
    assert read(pickled(pairs)) == {"a": 1, "b": [2]}


def test_strings_of_python_2():
    assert read(b"\x80\x02U\x03abcT\x02\0\0\0\xe9\xff\x86.") == ("abc", "\xe9\xff")


def test_a_list_that_holds_itself():
    value = []
    value.append(value)
    found = read(pickle.dumps(value))
    assert found[0] is found


def test_entries_without_a_name_are_left_out():
    value = {"a": 1, 2: 3, (4, 5): 6, None: 7, 8.0: 9, b"b": 10}
    assert read(pickle.dumps(value, 4)) == {"a": 1}
    assert read(b"\x80\x02}(](NeK\x01}K\x02X\x01\0\0\0bK\x03u.") == {"b": 3}  # a list as a key


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", [b"\xe9" * 5000, "é" * 5000, bytearray(5000)], ids=type)
def test_long_strings_stay_in_the_file(protocol, value):
    data = pickle.dumps([value, "after"], protocol)
    span, after = read(data)
    if isinstance(span, Record):  # a bytearray before protocol 5
        span = span.args[0]
    assert after == "after"
    assert isinstance(span, Span)
    stored = data[span.start : span.start + span.size]
    as_text = value if isinstance(value, str) else bytes(value).decode("latin-1")
    assert (stored.decode() if span.text else stored.decode("latin-1")) == as_text


def test_the_file_is_left_behind_the_pickle():
    file = io.BytesIO(pickled(1) + pickled("b") + b"rest")
    for expected in (1, "b"):
        assert unpickle(file, 100, Path("a"), torch_name) == expected
    assert file.read() == b"rest"


def test_settings_beside_the_weights_are_recorded():
    value = argparse.Namespace(a=1, b=[2], path=Path("/x"), kinds={1, 2}, size=1j)
    found = read(pickle.dumps(value, 2))
    assert str(found.named) == "argparse.Namespace"
    assert (found.state["a"], found.state["b"]) == (1, [2])
    other = read(pickled(Built(Call(Global("omegaconf.dictconfig", "DictConfig"), ()), {"a": 1})))
    assert (str(other.named), other.state) == ("omegaconf.dictconfig.DictConfig", {"a": 1})


# ----------------------------------------------------------------------------- code


NAMES = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("subprocess", "Popen"),
    ("sys", "exit"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("__builtin__", "print"),
    ("__builtin__", "apply"),
    ("builtins", "eval.__call__"),
    ("builtins", "open"),
    ("importlib", "import_module"),
    ("operator", "attrgetter"),
    ("functools", "partial"),
    ("pickle", "loads"),
    ("_codecs", "decode"),
    ("codecs", "open"),
    ("webbrowser", "open"),
    ("numpy", "load"),
    ("numpy", "core.multiarray.fromfile"),
    ("numpy.core.multiarray", "fromfile"),
    ("numpy.testing._private.utils", "runstring"),
    ("torch", "load"),
    ("torch", "os.system"),
    ("torch.hub", "load"),
    ("torch.serialization", "load"),
    ("torch._utils", "_import_dotted_name"),
    ("torch.nn.modules.linear", "Linear"),
    ("fairseq.file_io", "os.system"),
    ("fairseq2", "x"),
    ("transformersx.y", "z"),
    ("collections", "OrderedDict.fromkeys"),
    ("", ""),
    ("torch.Size\x1b[2J", "x"),
]


@pytest.mark.parametrize(("module", "name"), NAMES)
@pytest.mark.parametrize("names", [torch_name, plain_name])
def test_names_that_no_weights_need(module, name, names):
    call = code(("true",)) + b"R."
    on_stack = code(module) + code(name) + b"\x93"
    for reference in (code(Global(module, name)), b"\x80\x04" + on_stack):
        refused(
            reference + call, "which no file of weights needs.*Nothing of it was run", names=names
        )
        refused(reference + b")\x81.", "no file of weights needs", names=names)
    # The name is written so that a terminal takes nothing of it for a command.
    with pytest.raises(CheckpointFormatError) as caught:
        read(on_stack)
    assert str(caught.value).isprintable()


class Attack:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(6))
def test_an_attack_does_nothing(tmp_path, protocol):
    data = pickle.dumps({"weight": Attack(tmp_path / "made")}, protocol)
    with pytest.raises(CheckpointFormatError):
        read(data)
    assert not (tmp_path / "made").exists()
    pickle.loads(data)
    assert (tmp_path / "made").exists()  # it is one


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Call(Global("builtins", "eval"), ("__import__('os')", {})), "asks Python to evaluate"),
        (Call(Global("builtins", "eval"), ("data", {"data": 1, "x": 2})), "asks Python"),
        (Call(Global("_codecs", "encode"), ("a", "rot13")), "stands for no bytes"),
        (Call(Global("_codecs", "encode"), (5, "latin1")), "stands for no bytes"),
        (Call(Global("_codecs", "encode"), ("a",)), "missing 1 required"),
        (Call(Global("numpy", "dtype"), ("O8", False, True)), "holds Python objects"),
        (Call(Global("numpy", "dtype"), ([("a", "O")],)), "dtype is none"),
        (Built(Call(Global("numpy", "dtype"), ("f4",)), (3, ">", None)), "big-endian"),
        (Built(Call(Global("numpy", "dtype"), ("f4",)), 3), "not subscriptable"),
        (Call(Global("numpy.core.multiarray", "_reconstruct"), (1, (0,), b"b")), "another class"),
        (Call(Global("builtins", "tuple"), ("abc",)), "made of something else"),
        (Call(Global("torch", "Size"), ([1],)), "made of something else"),
        (Call(Global("torch", "FloatStorage"), ()), "that is no function"),
        (Call(Global("torch", "float32"), ()), "that is no function"),
        (Call("os.system", ("ls",)), "that is no function"),
        (Call(Global("torch", "Size"), ["ls"]), "that is no function"),
        (Call(Global("collections", "OrderedDict"), ([1, 2],)), "cannot unpack|not iterable"),
        (Built("text", {"__class__": 1}), "attributes that has none"),
        (Built(Global("torch", "Size"), {"make": 1}), "attributes that has none"),
        (Built([], {"append": 1}), "attributes that has none"),
    ],
)
def test_hostile_arguments(value, message):
    refused(pickled(value), message)


def test_what_is_built_changes_no_stand_in():
    found = read(pickled([Built(Call(Global("argparse", "Namespace"), ()), {"named": 1}), {}]))[0]
    assert str(found.named) == "argparse.Namespace"


# ----------------------------------------------------------------------------- broken


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b".", b"\x80", b"\x80\x06N.", b"N", b"(.", b"t.", b"R.", b"b.", b"NR."),
        *(b"u.", b"s.", b"a.", b"0.", b"2.", b"\x85.", b"\x93.", b"}(Nu.", b"N(NNu.", b"h\x01."),
        *(b"cos", b"c\n\n", b"c" + b"a" * 600 + b"\nb\n.", b"c\xff\xfe\nx\n.", b"K\x01K\x02\x93."),
        *(b"N(NNe.", b"NNa.", b"X\x01\0\0\0\xff.", b"\xff.", b"\x95\0\0.", b"j\1\0\0\0.", b"NNb."),
        # what only text protocols and programs with extensions write
        *(
            b"I01\n.",
            b"L5L\n.",
            b"F1.0\n.",
            b"S'a'\n.",
            b"Va\n.",
            b"(l.",
            b"(d.",
            b"p0\n.",
            b"g0\n.",
        ),
        *(b"Pid\n.", b"(cos\nsystem\no.", b"(ios\nsystem\n.", b"\x82\x01.", b"\x83\x01\0."),
        *(b"\x84\x01\0\0\0.", b"\x97.", b"\x98."),
    ],
)
def test_broken_pickles(data):
    with pytest.raises(CheckpointFormatError):
        read(data)


def test_ids_are_for_those_who_expect_them():
    refused(pickled(("storage",))[:-1] + b"Q.", "objects outside", persistent=None)
    refused(pickled(("module", 1, 2, 3))[:-1] + b"Q.", "such as a whole module")


@pytest.mark.parametrize(
    "claim",
    [
        *(b"B\xff\xff\xff\xff", b"X\xff\xff\xff\xff", b"T\xff\xff\xff\x7f", b"T\xff\xff\xff\xff"),
        *(b"\x8e" + b"\xff" * 8, b"\x8d" + b"\xff" * 8, b"\x96" + struct.pack("<Q", 2**40)),
        *(b"\x8b\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\xff", b"\x8b" + struct.pack("<i", 256)),
        *(b"Nr\xff\xff\xff\xffj\xfe\xff\xff\xff", b"\x95" + b"\xff" * 8),
    ],
)
def test_claimed_sizes_are_not_allocated(claim):
    tracemalloc.start()
    try:
        refused(b"\x80\x04" + claim + b"abc")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_many_instructions(monkeypatch):
    monkeypatch.setattr(unpickling, "_MAX_INSTRUCTIONS", 1000)
    assert read(b"\x80\x02" + b"N0" * 400 + b"N.") is None
    refused(b"\x80\x02" + b"N0" * 600 + b"N.", "more than 1,000 instructions")


def test_deep_nesting():
    found = read(b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".")
    depth = 1
    while found:
        found, depth = found[0], depth + 1
    assert depth == 50_000
    assert read(b"\x80\x02" + b")" + b"\x85" * 50_000 + b".") is not None


def test_a_list_fills_one_dict_only():
    """Else a file of n entries could have n dicts of them made."""
    pairs = b"](]" + code("a") + b"aK\x01aeq\x00"
    again = code(Global("collections", "OrderedDict")) + b"h\x00\x85R"
    assert read(b"\x80\x02" + pairs + again + again + b"\x87.")[1:] == ({"a": 1}, {})


SEEDS = [
    pickle.dumps({"a": [1, 2.5, "x", b"y" * 300], "b": (None, True)}, protocol)
    for protocol in (2, 4)
] + [pickle.dumps(OrderedDict(a=argparse.Namespace(x={1})), 2)]


@given(st.data())
def test_changed_bytes_are_an_error_or_a_value(data):
    content = bytearray(data.draw(st.sampled_from(SEEDS)))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    with contextlib.suppress(CheckpointFormatError):
        read(content)


INSTRUCTIONS = [bytes([each]) for each in unpickling._INSTRUCTIONS] + [
    *(b"K\x01", b"X\x01\0\0\0a", b"h\0", b"q\0", b")", b"}", b"]", b"(", b"N", b"\x85", b"\x86"),
    *(code(Global(*name.rsplit(".", 1))) for name in (
        *("collections.OrderedDict", "numpy.dtype", "numpy.ndarray", "_codecs.encode"),
        *("numpy.core.multiarray._reconstruct", "torch._utils._rebuild_tensor_v2", "torch.Size"),
        *("torch._utils._rebuild_parameter", "torch.FloatStorage", "argparse.Namespace"),
        *("torch._tensor._rebuild_from_type_v2", "builtins.eval", "builtins.tuple"),
    )),
]  # fmt: skip


@given(st.lists(st.sampled_from(INSTRUCTIONS) | st.binary(max_size=3), max_size=40))
def test_any_instructions_are_an_error_or_a_value(parts):
    with contextlib.suppress(CheckpointFormatError):
        read(b"".join(parts) + b".")
