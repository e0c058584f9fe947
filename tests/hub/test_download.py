"""One file over HTTP: whatever the server does, it comes whole and right, or an error says why."""

from __future__ import annotations

import email.utils
import errno
import hashlib
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kerasbert.hub import responses
from kerasbert.hub.errors import DownloadError, HashMismatchError, PageInsteadOfFileError
from kerasbert.hub.transfer import download
from tests.hub.server import file, hang_up, page, redirect, serving, status

CONTENT = random.Random(1).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = 24 * 2**16  # a whole number of reads, of which a stall loses the last
QUICK = {"wait": 0.001, "timeout": (5.0, 5.0), "progress": False}


def get(server, folder: Path, name: str = "model.zip", **options) -> Path:
    return download(server.url(f"models/{name}"), folder / name, **{**QUICK, **options})


def left_behind(folder: Path) -> list[str]:
    """What a download leaves beside its file, the lock apart."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def flipped(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


def test_a_file_comes(tmp_path):
    with serving(file(), content=CONTENT) as server:
        path = get(server, tmp_path / "new" / "folders")
    assert path.read_bytes() == CONTENT
    assert left_behind(path.parent) == ["model.zip"]
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("known", [{"sha256": SHA256}, {"size": len(CONTENT)}, {}])
def test_a_file_that_is_there_is_kept(tmp_path, known):
    (tmp_path / "model.zip").write_bytes(CONTENT)
    with serving(status(500), content=b"") as server:
        get(server, tmp_path, **known)
    assert server.requests == []


def test_a_file_that_is_there_and_wrong_is_replaced(tmp_path):
    (tmp_path / "model.zip").write_bytes(flipped(CONTENT))
    with serving(file(), content=CONTENT) as server:
        assert get(server, tmp_path, sha256=SHA256.upper()).read_bytes() == CONTENT


def test_a_cut_connection_is_resumed(tmp_path):
    with serving(file(until=HALF), file(until=HALF + 99_999), file(), content=CONTENT) as server:
        path = get(server, tmp_path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF + 99_999}-"]
    assert server.requests[1][1]["If-Range"] == '"v1"'
    assert left_behind(tmp_path) == ["model.zip"]


def test_a_stall_is_resumed(tmp_path, caplog):
    with serving(file(until=HALF, stall=True), file(), content=CONTENT) as server:
        path = get(server, tmp_path, timeout=(5.0, 0.5))
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert "no byte came for 0.5 seconds" in caplog.text


def test_a_silent_server_is_asked_again(tmp_path):
    with serving(hang_up(), hang_up(), file(), content=CONTENT) as server:
        assert get(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("mark", [{"etag": None, "date": "Mon, 01 Jan 2024 00:00:00 GMT"}, {}])
def test_a_later_call_goes_on(tmp_path, mark):
    with serving(file(until=HALF, **mark), status(503), file(**mark), content=CONTENT) as server:
        with pytest.raises(DownloadError, match=rf"503.*{HALF:,} bytes are kept"):
            get(server, tmp_path, retries=0)
        assert (tmp_path / "model.zip.part").stat().st_size == HALF
        assert not (tmp_path / "model.zip").exists()
        assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-"]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_mark_or_a_hash_nothing_is_resumed(tmp_path, etag):
    with serving(file(until=HALF, etag=etag), file(etag=etag), content=CONTENT) as server:
        assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_without_a_mark_a_hash_lets_it_go_on(tmp_path):
    with serving(file(until=HALF, etag=None), file(etag=None), content=CONTENT) as server:
        assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize("heed", [True, False])
def test_a_file_that_changed_meanwhile_is_begun_anew(tmp_path, heed):
    second = file(etag='"v2"', change=flipped, heed_if_range=heed)
    with serving(file(until=HALF), second, content=CONTENT) as server:
        assert get(server, tmp_path).read_bytes() == flipped(CONTENT)
    assert server.ranges[1] == f"bytes={HALF}-"


def test_a_server_that_ignores_ranges_begins_anew(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with serving(file(until=HALF), file(ranges=False), content=CONTENT) as server:
        assert get(server, tmp_path).read_bytes() == CONTENT
    assert "begins anew" in caplog.text


def test_another_range_than_asked_for_is_not_appended(tmp_path):
    def odd(handler, content):
        handler.head(206, Content_Range=f"bytes 0-9/{len(content)}", Content_Length=10)
        handler.wfile.write(content[:10])

    with serving(file(until=HALF), odd, file(), content=CONTENT) as server:
        assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-", None]


def test_416_at_the_end_is_the_whole_file(tmp_path):
    (tmp_path / "model.zip.part").write_bytes(CONTENT)
    with serving(file(), content=CONTENT) as server:
        assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("content_range", ["bytes */10", None, "nonsense"])
def test_416_elsewhere_begins_anew(tmp_path, content_range):
    (tmp_path / "model.zip.part").write_bytes(CONTENT + b"more")
    answer = status(416, Content_Range=content_range)
    with serving(answer, file(), content=CONTENT) as server:
        assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_corrupted_file_is_deleted(tmp_path):
    with serving(file(change=flipped), content=CONTENT) as server:
        with pytest.raises(HashMismatchError, match=f"sha256 is .* instead of {SHA256}"):
            get(server, tmp_path, sha256=SHA256)
    assert left_behind(tmp_path) == []
    assert len(server.requests) == 1


def test_md5_is_checked(tmp_path):
    with serving(file(), content=CONTENT) as server:
        with pytest.raises(HashMismatchError, match="md5"):
            get(server, tmp_path, md5="0" * 32)
        get(server, tmp_path, md5=hashlib.md5(CONTENT).hexdigest())


def test_a_wrong_beginning_of_an_earlier_run_is_replaced(tmp_path):
    (tmp_path / "model.zip.part").write_bytes(flipped(CONTENT)[:HALF])
    with serving(file(), content=CONTENT) as server:
        assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={HALF}-", None]


def test_another_size_is_refused_before_it_comes(tmp_path):
    with serving(file(), content=CONTENT) as server:
        with pytest.raises(DownloadError, match="3,000,000 bytes, not 7"):
            get(server, tmp_path, size=7)
    assert left_behind(tmp_path) == []


def test_more_than_expected_is_refused_without_a_length(tmp_path):
    with serving(file(length=None), content=CONTENT) as server:
        with pytest.raises(DownloadError, match="more than the expected 1,000"):
            get(server, tmp_path, size=1000)
    assert not (tmp_path / "model.zip").exists()


def test_without_a_length_a_file_comes(tmp_path):
    with serving(file(length=None), content=CONTENT) as server:
        assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT


def test_a_length_that_is_too_long_is_found_out(tmp_path):
    with serving(file(length=5, ranges=False), content=CONTENT) as server:
        with pytest.raises(DownloadError, match=r"given up after 3 attempts"):
            get(server, tmp_path, retries=2)
    assert not (tmp_path / "model.zip").exists()


def test_a_length_that_is_too_long_does_not_matter_with_a_hash(tmp_path):
    with serving(file(length=5, ranges=False), content=CONTENT) as server:
        assert get(server, tmp_path, retries=1, sha256=SHA256).read_bytes() == CONTENT


def test_a_length_that_is_too_short_is_found_out_by_the_size(tmp_path):
    with serving(file(length=-5), content=CONTENT) as server:
        with pytest.raises(DownloadError, match="2,999,995 bytes, not 3,000,000"):
            get(server, tmp_path, size=len(CONTENT))


@pytest.mark.parametrize("code", [401, 403, 404, 410, 451])
def test_a_refusal_is_not_repeated(tmp_path, code):
    with serving(status(code), content=CONTENT) as server:
        with pytest.raises(DownloadError, match=str(code)):
            get(server, tmp_path)
    assert len(server.requests) == 1
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(tmp_path, code):
    with serving(status(code), status(code), file(), content=CONTENT) as server:
        assert get(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("known", [{"sha256": SHA256}, {"md5": "0" * 32}, {}])
def test_a_server_that_stays_in_trouble(tmp_path, known):
    with serving(status(500), content=CONTENT) as server:
        with pytest.raises(DownloadError, match=r"500 .*given up after 3 attempts"):
            get(server, tmp_path, retries=2, **known)
    assert len(server.requests) == 3
    assert left_behind(tmp_path) == []


def test_waits_grow(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("kerasbert.hub.transfer.time.sleep", waits.append)
    with serving(status(500), content=CONTENT) as server:
        with pytest.raises(DownloadError, match="given up after 9 attempts"):
            get(server, tmp_path, retries=8, wait=1.0)
    assert len(waits) == 8
    assert all(0.8 * 2**i <= waits[i] <= 1.2 * 2**i for i in range(5))
    assert max(waits) <= 72


def test_retry_after_is_heeded(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("kerasbert.hub.transfer.time.sleep", waits.append)
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    answers = (status(429, Retry_After=7), status(503, Retry_After=in_a_minute), file())
    with serving(*answers, content=CONTENT) as server:
        get(server, tmp_path)
    assert waits[0] == 7
    assert 50 < waits[1] <= 60


def test_retry_after_of_an_hour_ends_it(tmp_path):
    with serving(status(503, Retry_After=3600), content=CONTENT) as server:
        with pytest.raises(DownloadError, match="3,600 seconds"):
            get(server, tmp_path)


@given(st.text(max_size=40))
@example("0\x1f")
@example("9" * 400)
def test_any_retry_after_is_read(text):
    seconds = responses.retry_after(text)
    assert seconds is None or seconds >= 0


def test_progress_allows_more_attempts(tmp_path):
    steps = [file(until=i * len(CONTENT) // 10) for i in range(1, 10)]
    with serving(*steps, file(), content=CONTENT) as server:
        assert get(server, tmp_path, retries=1).read_bytes() == CONTENT
    assert len(server.requests) == 10


def test_a_byte_at_a_time_does_not_go_on_for_ever(tmp_path):
    def byte(handler, content):
        file(until=handler.offset() + 1 if handler.offset() else HALF)(handler, content)

    with serving(byte, content=CONTENT) as server:
        with pytest.raises(DownloadError, match="given up"):
            get(server, tmp_path, retries=3)
    assert len(server.requests) < 10


def test_redirects_are_followed(tmp_path):
    with serving(redirect("/a"), redirect("/b", 307), file(), content=CONTENT) as server:
        assert get(server, tmp_path).read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/models/model.zip", "/a", "/b"]


def test_redirects_in_a_circle_end(tmp_path):
    with serving(redirect("/models/model.zip"), content=CONTENT) as server:
        with pytest.raises(DownloadError, match="redirects"):
            get(server, tmp_path)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_leads_to_the_web_only(tmp_path, target):
    with serving(redirect(target), content=CONTENT) as server:
        with pytest.raises(DownloadError):
            get(server, tmp_path)
    assert not (tmp_path / "model.zip").exists()


def test_an_encrypted_address_does_not_lead_to_an_open_one():
    class Step:
        def __init__(self, url, history=()):
            self.url, self.history, self.status_code, self.headers = url, history, 200, {}

    with pytest.raises(DownloadError, match="not encrypted"):
        responses.judge(Step("http://b/x", [Step("https://a/x")]), 0, "x.zip")
    responses.judge(Step("https://b/x", [Step("http://a/x")]), 0, "x.zip")


LOGIN = "<!DOCTYPE html><html><title>Please\n log in</title><body>x</body></html>"


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream"])
def test_a_page_is_not_taken_for_the_file(tmp_path, kind):
    with serving(page("\n" + LOGIN, kind), content=CONTENT) as server:
        with pytest.raises(
            PageInsteadOfFileError, match=r"titled 'Please log in'.*login"
        ) as caught:
            get(server, tmp_path)
    assert LOGIN in caught.value.page
    assert left_behind(tmp_path) == []
    assert len(server.requests) == 1


def test_a_page_may_be_wanted(tmp_path):
    with serving(page(LOGIN), content=b"") as server:
        assert get(server, tmp_path, "page.html").read_text() == LOGIN


def test_a_page_may_lead_to_the_file(tmp_path):
    with serving(page(LOGIN), file(), content=CONTENT) as server:
        path = get(server, tmp_path, beyond_page=lambda text, url: url + "?confirm=1")
    assert path.read_bytes() == CONTENT
    assert server.requests[1][0] == "/models/model.zip?confirm=1"


def test_pages_do_not_lead_on_for_ever(tmp_path):
    with serving(page(LOGIN), content=CONTENT) as server:
        with pytest.raises(PageInsteadOfFileError):
            get(server, tmp_path, beyond_page=lambda text, url: url)
    assert len(server.requests) == 2


def test_an_encoding_that_was_not_asked_for_is_refused(tmp_path):
    with serving(file(**{"Content-Encoding": "br"}), content=CONTENT) as server:
        with pytest.raises(DownloadError, match="compressed"):
            get(server, tmp_path)
        # Of a .gz some servers say so, and mean the file itself.
        assert get(server, tmp_path, "model.tar.gz").read_bytes() == CONTENT


def test_no_server(tmp_path):
    with serving(file(), content=b"") as server:
        url = server.url()
    with pytest.raises(DownloadError, match="refused"):
        download(url, tmp_path / "x.zip", **{**QUICK, "retries": 1})


@pytest.mark.parametrize("url", ["ftp://a/b.zip", "b.zip", "file:///b.zip", ""])
def test_other_addresses_are_refused(tmp_path, url):
    with pytest.raises(DownloadError, match="https://"):
        download(url, tmp_path / "x.zip")


def test_a_broken_address_is_not_repeated(tmp_path):
    with pytest.raises(DownloadError):
        download("http://:0:0/x", tmp_path / "x.zip", **QUICK)


def test_a_full_disk_is_said_before(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("kerasbert.hub.transfer.shutil.disk_usage", lambda folder: usage)
    with serving(file(), content=CONTENT) as server:
        with pytest.raises(DownloadError, match=r"3,000,000 bytes are to come.*room for 1,000"):
            get(server, tmp_path)
    assert left_behind(tmp_path) == []


def test_a_disk_that_fills_up_keeps_the_part(tmp_path, monkeypatch):
    from kerasbert.hub import partial

    written = []

    def write(handle, chunk):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(chunk)
        partial.write_all(handle, chunk)

    monkeypatch.setattr("kerasbert.hub.transfer.write_all", write)
    with serving(file(), content=CONTENT) as server:
        with pytest.raises(DownloadError, match="No space left") as caught:
            get(server, tmp_path)
        assert caught.value.errno == errno.ENOSPC
        monkeypatch.undo()
        assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges[1] == f"bytes={sum(map(len, written))}-"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DownloadError, match="KERASBERT_HOME"):
        download("http://127.0.0.1:1/x.zip", tmp_path / "file" / "x.zip", **QUICK)


@pytest.mark.skipif(
    sys.platform == "win32" or (hasattr(os, "geteuid") and os.geteuid() == 0),
    reason="the superuser may write anywhere",
)
def test_a_folder_without_rights(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DownloadError, match="Permission denied"):
            download("http://127.0.0.1:1/x.zip", tmp_path / "x.zip", **QUICK)
    finally:
        tmp_path.chmod(0o700)


def test_ctrl_c_leaves_a_part_that_is_resumed(tmp_path, monkeypatch):
    def interrupt(handle, chunk):
        handle.write(chunk)
        raise KeyboardInterrupt

    monkeypatch.setattr("kerasbert.hub.transfer.write_all", interrupt)
    with serving(file(), content=CONTENT) as server:
        with pytest.raises(KeyboardInterrupt):
            get(server, tmp_path)
        size = (tmp_path / "model.zip.part").stat().st_size
        assert size > 0
        monkeypatch.undo()
        assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={size}-"]


def test_a_broken_note_beside_the_part_is_no_error(tmp_path):
    (tmp_path / "model.zip.part").write_bytes(b"old")
    (tmp_path / "model.zip.part.json").write_text("[1")
    with serving(file(), content=CONTENT) as server:
        assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None]


# Imports of the package itself would bring TensorFlow; this takes a tenth of the time.
CHILD = """
import importlib.machinery, sys, types
for name, folder in (("kerasbert", sys.argv[1]), ("kerasbert.hub", sys.argv[1] + "/hub")):
    module = types.ModuleType(name)
    module.__path__ = [folder]
    sys.modules[name] = module
from kerasbert.hub.transfer import download
print("ready", flush=True)
download(sys.argv[2], sys.argv[3], wait=0.01, timeout=(5, 30), progress=False)
print("done", flush=True)
"""


def child(url: str, target: Path) -> subprocess.Popen:
    package = Path(responses.__file__).resolve().parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(package), url, str(target)],
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def test_a_killed_process_is_continued_by_another_that_waited(tmp_path):
    target = tmp_path / "model.zip"
    part = tmp_path / "model.zip.part"
    with serving(file(until=HALF, stall=True), file(), content=CONTENT) as server:
        first = child(server.url(), target)
        wait_for(lambda: part.exists() and part.stat().st_size == HALF)
        second = child(server.url(), target)
        try:
            assert second.stdout.readline() == "ready\n"
            time.sleep(0.2)
            assert len(server.requests) == 1, "the second process did not wait"
            first.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
            assert second.wait(20) == 0
        finally:
            for process in (first, second):
                process.kill()
                process.wait()
                process.stdout.close()
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_two_processes_download_once(tmp_path):
    target = tmp_path / "model.zip"
    with serving(file(), content=CONTENT) as server:
        processes = [child(server.url(), target) for _ in range(2)]
        for process in processes:
            output, _ = process.communicate(timeout=30)
            assert output == "ready\ndone\n"
    assert len(server.requests) == 1
    assert target.read_bytes() == CONTENT
