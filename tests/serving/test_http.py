"""The HTTP interface over real connections, with an encoder and a generator that are quick."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from kerasbert.serving import Limits, TextService, create_app
from tests.serving.client import events, served
from tests.serving.fakes import FakeEncoder, FakeGenerator, vector

LIMITS = Limits(
    max_body=4000, max_texts=5, max_characters=100, max_queue=8, max_streams=2,
    max_new_tokens=20, max_beams=4, timeout=5.0,
)  # fmt: skip


def make(encoder=None, generator=None, limits=LIMITS, hosts=("127.0.0.1",), **options):
    return create_app(TextService(encoder, generator, limits=limits, **options), hosts)


@pytest.fixture(scope="module")
def client():
    with served(make(FakeEncoder(), FakeGenerator(), name="tiny")) as client:
        yield client


# Answers


def test_encode(client):
    answer = client.post("/encode", {"texts": ["我爱北京", "", "a\0b"]})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["size"] == 8
    expected = np.stack([vector("我爱北京"), vector(""), vector("a\0b")])
    np.testing.assert_array_equal(np.array(answer.json["embeddings"], "f"), expected)


def test_encode_one_text_and_base64(client):
    answer = client.post("/encode", {"texts": "我", "encoding": "base64"})
    (row,) = answer.json["embeddings"]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(row), "<f4"), vector("我"))


def test_similar_sorts_candidates(client):
    content = {"queries": ["aab", "c"], "candidates": ["c", "aab", "ab"], "top_k": 2}
    first, second = client.post("/similar", content).json["results"]
    assert [(found["index"], found["text"]) for found in first] == [(1, "aab"), (2, "ab")]
    assert first[0]["score"] == pytest.approx(1)
    assert first[1]["score"] == pytest.approx(float(vector("aab") @ vector("ab")), abs=1e-5)
    assert second[0]["text"] == "c"


def test_equal_scores_keep_the_order_of_the_candidates(client):
    content = {"queries": "a", "candidates": ["b", "a", "a", "a"]}
    (found,) = client.post("/similar", content).json["results"]
    assert [one["index"] for one in found] == [1, 2, 3, 0]


def test_similar_needs_candidates_without_a_corpus(client):
    answer = client.post("/similar", {"queries": "a"})
    assert (answer.status, answer.json["error"]["field"]) == (400, "candidates")


def test_similar_in_the_corpus():
    corpus = [chr(97 + i) * 3 for i in range(20)]
    with served(make(FakeEncoder(), corpus=corpus)) as client:
        (found,) = client.post("/similar", {"queries": "ddd", "top_k": 1}).json["results"]
        assert found == [{"index": 3, "text": "ddd", "score": 1.0}]
        (found,) = client.post("/similar", {"queries": "ddd"}).json["results"]
        assert len(found) == 10
        assert client.get("/health").json["corpus"] == 20
        assert client.post("/generate", {"texts": "a"}).status == 404


def test_generate(client):
    answer = client.post("/generate", {"texts": ["abc", "我爱"], "max_new_tokens": 2})
    assert answer.json == {"texts": ["cb", "爱我"], "scores": [-0.5] * 2, "finished": [True] * 2}


def test_generate_several_for_each(client):
    content = {"texts": ["abc"], "num_return_sequences": 2, "num_beams": 2}
    answer = client.post("/generate", content)
    assert answer.json["texts"] == [["cba", "cba"]]
    assert answer.json["scores"] == [[-0.5, -0.5]]


def test_generate_hands_options_on():
    generator = FakeGenerator()
    options = {"do_sample": True, "top_k": 0, "top_p": 0.5, "temperature": 2, "seed": 0,
               "min_new_tokens": 0, "repetition_penalty": 1.5, "no_repeat_ngram": 3}  # fmt: skip
    with served(make(None, generator)) as client:
        assert client.post("/generate", {"texts": ["a"], **options}).status == 200
        assert client.post("/encode", {"texts": "a"}).status == 404
    assert generator.calls == [(["a"], {**options, "max_new_tokens": 20})]


def test_stream(client):
    answer = client.post("/generate", {"texts": "我爱北京", "stream": True})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    pieces = [("message", {"text": char}) for char in "京北爱我"]
    assert events(answer.body) == [*pieces, ("done", {"text": "京北爱我"})]


def test_stream_that_fails_says_so(client):
    answer = client.post("/generate", {"texts": "a!b", "stream": True})
    assert [name for name, _ in events(answer.body)] == ["message", "error"]
    assert events(answer.body)[-1][1]["message"] == "cannot go on."
    first = client.post("/generate", {"texts": "a!", "stream": True})
    assert (first.status, first.message) == (400, "cannot go on.")


def test_health_and_metrics(client):
    health = client.get("/health").json
    assert (health["status"], health["model"]) == ("ok", "tiny")
    assert health["tasks"] == ["encode", "similar", "generate"]
    assert health["limits"]["max_texts"] == 5
    client.post("/encode", {"texts": "a"})
    client.get("/secret-name")
    lines = client.get("/metrics").body.decode().splitlines()
    assert any(line.startswith('kerasbert_requests_total{path="/encode",status="200"} ')
               for line in lines)  # fmt: skip
    assert any('path="other",status="404"' in line for line in lines)
    assert not any("secret-name" in line for line in lines)


def test_page_is_whole_in_itself(client):
    answer = client.get("/")
    page = answer.body.decode()
    policy = answer.headers["content-security-policy"]
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert page.count(f'nonce="{nonce}"') == 2
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "//" not in page.replace("/* not our JSON */", "")  # nothing from elsewhere
    assert nonce not in client.get("/").headers["content-security-policy"]


def test_no_other_site_is_let_in(client):
    headers = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    asked = client.request("OPTIONS", "/encode", headers=headers)
    assert asked.status == 405
    answer = client.post("/encode", {"texts": "a"}, Origin="https://example.com")
    for found in (asked, answer):
        assert not any(name.startswith("access-control") for name in found.headers)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_only_known_hosts(client):
    refused = client.get("/health", Host="evil.example")
    assert refused.status == 421
    assert "evil.example" in refused.message
    port = client.address[1]
    assert client.get("/health", Host=f"127.0.0.1:{port}").status == 200
    with served(make(FakeEncoder(), hosts=None)) as any_host:
        assert any_host.get("/health", Host="any.example").status == 200


# Bad requests


BAD = {
    "not JSON": (b"{texts: 1", 400, "not JSON"),
    "empty": (b"", 400, "not JSON"),
    "not UTF-8": (b'{"texts": "\xff"}', 400, "not UTF-8: invalid start byte at byte 11"),
    "NaN": (b'{"texts": ["a"], "top_k": NaN}', 400, "NaN is not JSON"),
    "a key twice": (b'{"texts": "a", "texts": "b"}', 400, "'texts' is there twice"),
    "nested": (b"[" * 3000, 400, "nested too deeply|not JSON"),
    "a list": (["a"], 400, "must be a JSON object, got a list"),
    "null": (None, 400, "must be a JSON object, got null"),
    "no texts": ({}, 400, "texts is missing.*received: none"),
    "another name": ({"text": "a"}, 400, "texts is missing.*received: text"),
    "a number": ({"texts": 3}, 400, "texts must be a text or a list of texts, got a number"),
    "an object": ({"texts": {"a": 1}}, 400, "got an object"),
    "empty list": ({"texts": []}, 400, "empty list"),
    "one number": ({"texts": ["a", 3]}, 400, r"texts\[1\] must be a string, got a number"),
    "one list": ({"texts": [["a", "b"]]}, 400, r"texts\[0\] must be a string, got a list"),
    "one null": ({"texts": [None]}, 400, r"texts\[0\] must be a string, got null"),
    "too many": ({"texts": ["a"] * 6}, 413, "6 texts, and a request may have 5"),
    "too long": ({"texts": ["a", "b" * 101]}, 413, r"texts\[1\] has 101 characters.*100"),
    "surrogate": (b'{"texts": ["a", "b\\ud800"]}', 400, r"texts\[1\].*\\ud800\) at character 1"),
    "unknown field": ({"texts": "a", "encodin": "float"}, 400, "'encodin': did you mean encoding"),
    "a wrong word": ({"texts": "a", "encoding": "hex"}, 400, "one of float, base64, got 'hex'"),
    "a wrong word's type": ({"texts": "a", "encoding": [1]}, 400, "float, base64, got a list"),
    "too large": ({"texts": ["a" * 100] * 3, "more": "b" * 4000}, 413, "more than 4000 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests(client, name):
    content, status, message = BAD[name]
    answer = client.post("/encode", content)
    assert answer.status == status == answer.json["error"]["status"]
    assert re.search(message, answer.message), answer.message
    assert client.post("/encode", {"texts": "a"}).status == 200


BAD_OPTIONS = {
    "no tokens": ({"max_new_tokens": 0}, "max_new_tokens must be from 1 to 20, got 0"),
    "many tokens": ({"max_new_tokens": 21}, "max_new_tokens must be from 1 to 20, got 21"),
    "half a token": ({"max_new_tokens": 1.5}, "must be a whole number, got 1.5"),
    "a word": ({"max_new_tokens": "5"}, "must be a whole number, got '5'"),
    "true": ({"max_new_tokens": True}, "must be a whole number, got true or false"),
    "beams": ({"num_beams": 5}, "num_beams must be from 1 to 4"),
    "huge": ({"seed": 10**40}, "seed must be from 0 to"),
    "yes": ({"do_sample": "yes"}, "do_sample must be true or false, got a string"),
    "temperature": ({"do_sample": True, "temperature": 0}, "temperature must be from"),
    "infinity": ({"do_sample": True, "temperature": 1e999}, "not JSON|temperature must be from"),
    "top_p": ({"do_sample": True, "top_p": 1.1}, "top_p must be from"),
    "no sampling": ({"top_k": 5}, "only with do_sample"),
    "both": ({"do_sample": True, "num_beams": 2}, "one of the two"),
    "more texts than beams": ({"num_return_sequences": 2}, "more than num_beams"),
    "fewest": ({"min_new_tokens": 9, "max_new_tokens": 5}, "more than max_new_tokens"),
    "streamed beams": ({"num_beams": 2, "stream": True}, "cannot be streamed"),
    "unknown": ({"max_tokens": 2}, "'max_tokens': did you mean max_new_tokens"),
    "code": ({"constraints": "import os"}, "unknown field 'constraints'"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options(client, name):
    options, message = BAD_OPTIONS[name]
    answer = client.post("/generate", {"texts": "a", **options})
    assert answer.status == 400
    assert re.search(message, answer.message), answer.message


def test_streams_are_of_one_text(client):
    answer = client.post("/generate", {"texts": ["a", "b"], "stream": True})
    assert (answer.status, answer.message) == (400, "texts must be one text, got 2.")


def test_unknown_paths_and_methods(client):
    for path in ("/nothing", "/encode/", "/../../etc/passwd", "/%2e%2e/etc/passwd", "//encode"):
        answer = client.get(path)
        assert answer.status == 404
        assert "there are /, /health" in answer.message
    answer = client.get("/encode")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert "use POST" in answer.message
    assert client.request("DELETE", "/health").status == 405


def test_only_json_is_read(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = client.post("/encode", {"texts": "a"}, **{"Content-Type": kind})
        assert answer.status == 415
    kind = "Application/JSON; charset=utf-8"
    assert client.post("/encode", {"texts": "a"}, **{"Content-Type": kind}).status == 200


def test_a_huge_body_is_not_read(client):
    with socket.create_connection(client.address, 10) as connection:
        connection.sendall(
            b"POST /encode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100000000000\r\n\r\n{"
        )
        answer = connection.recv(100_000)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer.lower()


def test_a_huge_body_in_pieces(client):
    with socket.create_connection(client.address, 10) as connection:
        connection.sendall(
            b"POST /encode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        received = b""
        try:
            for _ in range(200):
                connection.sendall(piece)
            connection.sendall(b"0\r\n\r\n")
        except OSError:  # it has heard enough
            pass
        with contextlib.suppress(ConnectionError):
            received = connection.recv(100_000)
    assert received.startswith(b"HTTP/1.1 413 ") or received == b""
    assert client.post("/encode", {"texts": "a"}).status == 200


def test_a_body_that_never_ends():
    with served(make(FakeEncoder(), limits=Limits(timeout=0.3))) as client:
        with socket.create_connection(client.address, 10) as connection:
            connection.sendall(
                b"POST /encode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            assert connection.recv(100_000).startswith(b"HTTP/1.1 408 ")


# Under load


def test_many_clients_get_their_own_answers_in_common_batches():
    encoder = FakeEncoder()
    texts = [[f"{client} {at}" for at in range(5)] for client in range(16)]
    with served(make(encoder, max_wait=0.02, limits=Limits())) as client:
        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(lambda t: client.post("/encode", {"texts": t}), texts))
    for mine, answer in zip(texts, answers):
        expected = np.stack([vector(text) for text in mine])
        np.testing.assert_array_equal(np.array(answer.json["embeddings"], "f"), expected)
    assert len(encoder.calls) < 16


def test_a_full_queue_and_a_timeout():
    encoder = FakeEncoder()
    limits = Limits(max_queue=3, timeout=3)
    with served(make(encoder, limits=limits, max_wait=0.001)) as client:
        encoder.hold.clear()
        with ThreadPoolExecutor(8) as clients:
            first = clients.submit(client.post, "/encode", {"texts": "a"})
            while not encoder.calls:
                time.sleep(0.005)
            waiting = [clients.submit(client.post, "/encode", {"texts": "a"}) for _ in range(3)]
            while 'queue_texts{task="encode"} 3' not in client.get("/metrics").body.decode():
                time.sleep(0.005)
            refused = client.post("/encode", {"texts": "a"})
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert "3 texts are waiting" in refused.message
            late = [first.result(), *(one.result() for one in waiting)]
            assert [answer.status for answer in late] == [504] * 4
            assert "within 3 seconds" in late[0].message
            encoder.hold.set()
            assert client.post("/encode", {"texts": "a"}).status == 200
    assert encoder.calls == [["a"], ["a"]]  # what nobody waited for was not computed


def test_an_error_inside_tells_no_secrets(caplog):
    with served(make(FakeEncoder(), max_wait=0.05)) as client:
        with ThreadPoolExecutor(2) as clients:
            bad = clients.submit(client.post, "/encode", {"texts": "boom"})
            good = clients.submit(client.post, "/encode", {"texts": "fine"})
            assert good.result().status == 200
            assert bad.result().status == 500
            assert b"secret" not in bad.result().body
    assert "a secret of the service" in caplog.text


def test_an_error_of_the_request_from_inside(client):
    answer = client.post("/generate", {"texts": "too long"})
    assert (answer.status, answer.message) == (400, "the source is too long.")


def test_streams_are_counted_and_end_with_their_clients():
    generator = FakeGenerator()
    generator.delay = 0.05
    with served(make(None, generator, limits=LIMITS)) as client:
        content = json.dumps({"texts": "x" * 90, "stream": True}).encode()
        open_ones = []
        for _ in range(2):
            connection = client.connection()
            connection.request("POST", "/generate", content, {"Content-Type": "application/json"})
            open_ones.append((connection, connection.getresponse()))
        refused = client.post("/generate", {"texts": "a", "stream": True})
        assert refused.status == 429
        for connection, response in open_ones:  # the clients go away
            response.close()
            connection.close()
        end = time.monotonic() + 20
        while "kerasbert_streams 0" not in client.get("/metrics").body.decode():
            assert time.monotonic() < end
            time.sleep(0.02)
        assert client.post("/generate", {"texts": "ab", "stream": True}).status == 200


def test_requests_are_answered_before_the_end():
    encoder = FakeEncoder()
    encoder.hold.clear()
    with ThreadPoolExecutor(1) as clients:
        with served(make(encoder)) as client:
            asked = clients.submit(client.post, "/encode", {"texts": "a"})
            while not encoder.calls:
                time.sleep(0.005)
            threading.Timer(0.2, encoder.hold.set).start()
        assert asked.result().status == 200


def test_nothing_to_serve():
    with pytest.raises(ValueError, match="nothing to serve"):
        TextService(None, None)


@pytest.mark.parametrize("wrong", [{"max_texts": 0}, {"timeout": -1}, {"max_body": "1"}])
def test_limits_are_checked(wrong):
    with pytest.raises(ValueError, match="must be a number above 0"):
        Limits(**wrong)
