"""Mirrors, Google Drive's question, and the addresses of Hugging Face."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.hub.addresses import beyond_drive_page, mirrors_of, title_of, urls_of
from kerasbert.hub.registry import Address

URL = "https://storage.googleapis.com/bert_models/2018_11_03/chinese_L-12_H-768_A-12.zip"
BELOW = "storage.googleapis.com/bert_models/2018_11_03/chinese_L-12_H-768_A-12.zip"


@pytest.mark.parametrize(
    ("mirror", "expected"),
    [
        ("", []),
        ("  ", []),
        ("https://m.example", [f"https://m.example/{BELOW}"]),
        ("https://m.example/a/", [f"https://m.example/a/{BELOW}"]),
        ("https://m.example http://n:8080/x", [f"https://m.example/{BELOW}", f"http://n:8080/x/{BELOW}"]),
        ("https://m.example,\thttp://n", [f"https://m.example/{BELOW}", f"http://n/{BELOW}"]),
        (
            "storage.googleapis.com=https://m.example/gcs",
            ["https://m.example/gcs/bert_models/2018_11_03/chinese_L-12_H-768_A-12.zip"],
        ),
        ("dl.fbaipublicfiles.com=https://m.example", []),
    ],
)  # fmt: skip
def test_mirrors(monkeypatch, mirror, expected):
    monkeypatch.setenv("KERASBERT_MIRROR", mirror)
    assert mirrors_of(URL) == expected
    assert urls_of(Address(URL, "direct")) == [*expected, URL]


def test_a_mirror_keeps_the_question(monkeypatch):
    monkeypatch.setenv("KERASBERT_MIRROR", "https://m")
    assert mirrors_of("https://a/b?c=d") == ["https://m/a/b?c=d"]


@pytest.mark.parametrize("mirror", ["m.example", "ftp://m", "host=m.example", "https://a b"])
def test_a_mirror_is_an_address(monkeypatch, mirror):
    monkeypatch.setenv("KERASBERT_MIRROR", mirror)
    with pytest.raises(ValueError, match="KERASBERT_MIRROR holds"):
        mirrors_of(URL)


@pytest.mark.parametrize(
    "url",
    ["https://drive.google.com/file/d/1-aB_c/view", "https://drive.google.com/open?id=1-aB_c"],
)
def test_a_file_on_drive(monkeypatch, url):
    monkeypatch.setenv("KERASBERT_MIRROR", "https://m")  # of which a mirror holds none
    (found,) = urls_of(Address(url, "drive"))
    assert urlsplit(found).hostname == "drive.usercontent.google.com"
    assert parse_qs(urlsplit(found).query)["id"] == ["1-aB_c"]


def question(action="https://drive.usercontent.google.com/download", form="download-form"):
    return f"""<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>
    <body><form id="other" action="/no"><input type="hidden" name="no" value="1"></form>
    <form id="{form}" action="{action}" method="get">
    <input type="submit" value="Download anyway"/><input type="hidden" name="id" value="1-aB_c">
    <input type="hidden" name="confirm" value="t">
    <input type="hidden" name="uuid" value="a b&amp;c">
    </form></body></html>"""


FROM = "https://drive.usercontent.google.com/download?id=1-aB_c"


def test_beyond_the_question():
    found = urlsplit(beyond_drive_page(question(), FROM))
    assert found.hostname == "drive.usercontent.google.com"
    assert parse_qs(found.query) == {"id": ["1-aB_c"], "confirm": ["t"], "uuid": ["a b&c"]}


@pytest.mark.parametrize("action", ["/download", "download?x=y"])
def test_beyond_a_question_that_is_relative(action):
    assert beyond_drive_page(question(action), FROM).startswith(
        "https://drive.usercontent.google.com/download?"
    )


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<html><title>Google Drive - Quota exceeded</title></html>",
        question("https://elsewhere.example/download"),
        question("http://drive.usercontent.google.com/download"),
        question("https://drive.google.com.elsewhere.example/download"),
        question(form="login"),
    ],
)
def test_other_pages_lead_nowhere(page):
    assert beyond_drive_page(page, FROM) is None


@given(st.text(alphabet='<>="/ abformidhnput-\n&;', max_size=120))
def test_any_page_is_read(page):
    beyond_drive_page('<form id="download-form" action="' + page, FROM)
    assert len(title_of(page)) <= 120
