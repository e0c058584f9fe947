"""The command line: what it says and its exit status; and the service as a process of its own."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

import kerasbert
from kerasbert import Tokenizer, build_transformer_model
from kerasbert.cli import main
from kerasbert.embedding import TextEncoder
from kerasbert.generation import generate
from kerasbert.serving.server import allowed_hosts
from tests.serving.client import Process, events
from tests.serving.conftest import TEXTS

# The command line


def refused(arguments, capsys) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_version_and_help(capsys):
    for arguments, wanted in (
        (["--version"], kerasbert.__version__),
        (["--help"], "serve"),
        (["serve", "--help"], "--max-queue"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 0
        assert wanted in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "required: COMMAND"),
        (["sing"], "invalid choice: 'sing'"),
        (["serve"], "required: checkpoint"),
        (["serve", "x", "--port", "70000"], "from 0 to 65535"),
        (["serve", "x", "--port", "web"], "invalid _port value|invalid"),
        (["serve", "x", "--max-batch", "0"], "1 or more"),
        (["serve", "x", "--timeout", "nan"], "number of seconds"),
    ],
    ids=str,
)
def test_wrong_command_lines(arguments, message, capsys):
    assert re.search(message, refused(arguments, capsys))


def test_no_checkpoint_is_one_line(capsys, tmp_path):
    assert main(["serve", str(tmp_path / "nothing.zip"), "--port", "0"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("kerasbert serve: error: ")
    assert "nothing.zip" in said.err
    assert said.err.count("\n") == 1


def test_a_taken_port_is_found_before_the_model_is_loaded(capsys, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert main(["serve", str(tmp_path / "nothing.zip"), "--port", port]) == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err


def test_bad_corpora(capsys, tmp_path):
    corpus = tmp_path / "corpus.txt"
    for content, message in ((b" \n", "has no texts"), ("我".encode("gbk"), "not UTF-8")):
        corpus.write_bytes(content)
        assert main(["serve", "x", "--port", "0", "--corpus", str(corpus)]) == 1
        assert message in capsys.readouterr().err


def test_the_extra_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "x"]) == 1
    assert "pip install 'kerasbert[serve]'" in capsys.readouterr().err


def test_hosts():
    assert "localhost" in allowed_hosts("127.0.0.1")
    assert "my.name" in allowed_hosts("localhost", ("my.name",))
    assert allowed_hosts("0.0.0.0") is None
    assert allowed_hosts("0.0.0.0", ("my.name",)) == ("my.name",)


# The service


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\ufeff我爱北京\n\nhello world\n科学技术\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def process(checkpoint, corpus):
    process = Process(checkpoint, "--model", "unilm", "--max-length", "32", "--corpus", corpus)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def local(checkpoint):
    """The same model in this process."""
    return build_transformer_model(checkpoint, model="unilm", with_pool="linear")


@pytest.fixture(scope="module")
def encoder(checkpoint, local):
    return TextEncoder(local, Tokenizer.from_pretrained(checkpoint), max_length=32)


@pytest.mark.slow
def test_the_served_model_is_the_model(process, encoder, local):
    client = process.client
    assert process.line.startswith("tiny_unilm at http://127.0.0.1:")
    found = client.post("/encode", {"texts": TEXTS}).json["embeddings"]
    np.testing.assert_allclose(found, encoder.encode(TEXTS), atol=2e-6)

    content = {"queries": "我爱北京", "top_k": 3}
    (found,) = client.post("/similar", content).json["results"]
    assert found[0]["text"] == "我爱北京"
    texts = ["我爱北京", "hello world", "科学技术"]
    expected = sorted(encoder.similarity(["我爱北京"], texts)[0], reverse=True)
    np.testing.assert_allclose([one["score"] for one in found], expected, atol=1e-5)

    options = {"max_new_tokens": 6, "num_beams": 2}
    found = client.post("/generate", {"texts": TEXTS, **options}).json["texts"]
    assert found == generate(local, encoder.tokenizer, TEXTS, **options)
    streamed = client.post("/generate", {"texts": "我爱", "max_new_tokens": 6, "stream": True})
    expected = generate(local, encoder.tokenizer, "我爱", max_new_tokens=6)
    assert events(streamed.body)[-1] == ("done", {"text": expected})


@pytest.mark.slow
def test_bad_requests_do_no_harm(process):
    client = process.client
    for body in (b"{", b'{"texts": ["\\udc00"]}', b'{"texts": ["' + b"a" * 20_000 + b'"]}'):
        assert 400 <= client.post("/encode", body).status < 500
    assert client.post("/generate", {"texts": "a", "max_new_tokens": 100}).status == 400
    assert client.post("/encode", {"texts": "a\0b"}).status == 200


@pytest.mark.slow
def test_sixteen_clients(process, encoder):
    """Results equal to those of each text alone, and no memory is lost."""
    rng = np.random.default_rng(0)
    characters = list("我爱北京天安门科学技术 hello 2020")
    texts = ["".join(rng.choice(characters, rng.integers(1, 40))) for _ in range(64)]
    expected = {text: encoder.encode([text])[0] for text in texts}
    asked = [[texts[i] for i in rng.integers(0, 64, rng.integers(1, 4))] for _ in range(600)]

    def ask(mine):
        found = process.client.post("/encode", {"texts": mine}).json["embeddings"]
        return max(np.abs(row - expected[text]).max() for row, text in zip(found, mine))

    with ThreadPoolExecutor(16) as clients:
        assert max(clients.map(ask, asked[:200])) < 5e-6
        before = process.resident_bytes()
        assert max(clients.map(ask, asked)) < 5e-6
        growth = process.resident_bytes() - before
    assert growth < 30e6, f"{growth / 1e6:.0f} MB more after 600 requests"


@pytest.mark.either
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_end(checkpoint, number):
    process = Process(checkpoint, "--model", "unilm", "--max-length", "32", "--max-wait", "0.5")
    try:
        with ThreadPoolExecutor(5) as clients:
            content = {"texts": ["我爱北京"] * 3}
            asked = [clients.submit(process.client.post, "/encode", content) for _ in range(4)]
            streamed = {"texts": "我爱", "max_new_tokens": 20, "stream": True}
            asked.append(clients.submit(process.client.post, "/generate", streamed))
            while "in_flight 6" not in process.client.get("/metrics").body.decode():
                if all(one.done() for one in asked):
                    break
                time.sleep(0.005)
            process.signal(number)
            answers = [one.result(60) for one in asked]
        assert [answer.status for answer in answers] == [200] * 5
        assert events(answers[-1].body)[-1][0] == "done"
        assert process.wait() == 0
        assert "stopped" in process.errors[-1]
        with pytest.raises(OSError):
            process.client.get("/health")
    finally:
        process.stop()


@pytest.mark.slow
def test_an_encoder_alone(tensors, tokenizer, tmp_path):
    """A BERT without a pooler gives means, and does not generate."""
    from kerasbert import save_weights_as_checkpoint

    model = build_transformer_model(*tensors)
    save_weights_as_checkpoint(model, tmp_path / "bert_model.ckpt", vocab=tokenizer)
    process = Process(tmp_path, "--max-length", "500", "--name", "mine")
    try:
        health = process.client.get("/health").json
        assert (health["model"], health["tasks"]) == ("mine", ["encode", "similar"])
        found = process.client.post("/encode", {"texts": TEXTS}).json["embeddings"]
        expected = TextEncoder(model, tokenizer, "mean").encode(TEXTS)
        np.testing.assert_allclose(found, expected, atol=2e-6)
        assert json.loads(process.client.post("/generate", {"texts": "a"}).body)["error"]
    finally:
        process.stop()
