"""Archives: unpacked once, whole or not at all, and never outside their folder."""

import contextlib
import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerasbert.checkpoints import archives, unpacking
from kerasbert.checkpoints.errors import CheckpointFormatError, UnsafeArchiveError

CHECKOUT = Path(__file__).resolve().parents[1]
FILES = {
    "publish/bert_model.ckpt.index": b"index",
    "publish/bert_model.ckpt.data-00000-of-00001": os.urandom(3000),
    "publish/bert_config.json": b"{}",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def make_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path, files):
    mode = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make(path, files):
    return (make_zip if path.suffix == ".zip" else make_tar)(path, files)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def in_cache(home):
    """Everything below the archive cache but the remembered keys."""
    root = home / "archives"
    return sorted(p.name for p in root.iterdir() if p.name != ".keys") if root.exists() else []


# ------------------------------------------------------------------------------ unpacking


SUFFIXES = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_extracts_every_format(tmp_path, home, suffix):
    path = make(tmp_path / f"bert{suffix}", FILES)
    folder = archives.extract(path)
    assert contents(folder) == FILES
    assert folder.parent == home / "archives"
    assert archives.is_archive(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_wrong_suffix_does_not_matter(tmp_path, suffix):
    path = make(tmp_path / f"bert{suffix}", FILES).rename(tmp_path / "download")
    assert archives.is_archive(path)
    assert contents(archives.extract(path)) == FILES


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_leaves_out_what_no_loader_needs(tmp_path, suffix):
    junk = {
        "__MACOSX/publish/._bert_config.json": b"x",
        "publish/._vocab.txt": b"x",
        "publish/.DS_Store": b"x",
        "publish/bert_model.ckpt.meta": b"graph",
    }
    assert contents(archives.extract(make(tmp_path / f"a{suffix}", {**FILES, **junk}))) == FILES


def test_names_of_windows_tools_and_of_tar_dot(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"folder\\bert_config.json": b"{}"})
    assert contents(archives.extract(path)) == {"folder/bert_config.json": b"{}"}
    path = make_tar(tmp_path / "a.tar", {"./folder/bert_config.json": b"{}"})
    assert contents(archives.extract(path)) == {"folder/bert_config.json": b"{}"}


def test_folders_and_empty_files(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"publish/": b"", "publish/empty.txt": b""})
    assert contents(archives.extract(path)) == {"publish/empty.txt": b""}


def test_undecodable_names(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo(
            "模型/bert_config.json".encode("gbk").decode("utf-8", "surrogateescape")
        )
        info.size = 2
        archive.addfile(info, io.BytesIO(b"{}"))
    (name,) = contents(archives.extract(path))
    assert name.endswith("/bert_config.json")
    name.encode("utf-8")


# ------------------------------------------------------------------------------ the cache


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_second_load_reads_nothing(tmp_path, monkeypatch, suffix):
    path = make(tmp_path / f"a{suffix}", FILES)
    first = archives.extract(path)
    monkeypatch.setattr(archives, "unpack", lambda *_: pytest.fail("unpacked again"))
    monkeypatch.setattr(archives, "_CHUNK", "hashing would raise TypeError here")
    assert archives.extract(path) == first


def test_keyed_by_content(tmp_path):
    first = make_zip(tmp_path / "a.zip", FILES)
    copy = tmp_path / "copy.zip"
    copy.write_bytes(first.read_bytes())
    folder = archives.extract(first)
    assert archives.extract(copy) == folder
    make_zip(first, {**FILES, "publish/bert_config.json": b"[]"})
    assert archives.extract(first) != folder
    assert (archives.extract(first) / "publish/bert_config.json").read_bytes() == b"[]"


@pytest.mark.parametrize("damage", ["delete", "cut", "no manifest"])
def test_a_damaged_cache_folder_is_made_anew(tmp_path, home, damage):
    path = make_zip(tmp_path / "a.zip", FILES)
    folder = archives.extract(path)
    victim = folder / "publish/bert_model.ckpt.data-00000-of-00001"
    if damage == "delete":
        victim.unlink()
    elif damage == "cut":
        victim.write_bytes(victim.read_bytes()[:100])
    else:
        next(folder.glob(".manifest*")).unlink()
    assert archives.extract(path) == folder
    assert contents(folder) == FILES
    assert in_cache(home) == [folder.name]


def test_a_damaged_memory_of_keys_is_ignored(tmp_path, home):
    path = make_zip(tmp_path / "a.zip", FILES)
    folder = archives.extract(path)
    for text in ("", "[]", "{", '{"state": 1}'):
        (memo,) = (home / "archives" / ".keys").iterdir()
        memo.write_text(text)
        assert archives.extract(path) == folder


def test_cache_folder_by_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert archives.cache_dir() == tmp_path / "a"
    monkeypatch.delenv("KERASBERT_HOME")
    assert archives.cache_dir() == tmp_path / "b" / "kerasbert"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert archives.cache_dir() == Path("~/.cache/kerasbert").expanduser()


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERASBERT_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match="KERASBERT_HOME"):
        archives.extract(make_zip(tmp_path / "a.zip", FILES))


def test_interrupted_extraction_leaves_nothing(tmp_path, home, monkeypatch):
    path = make_zip(tmp_path / "a.zip", FILES)
    calls = []

    def interrupt(self, parts):
        calls.append(parts)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(unpacking._Names, "add", interrupt)
        archives.extract(path)
    assert in_cache(home) == []
    assert contents(archives.extract(path)) == FILES


# The package's own __init__ imports TensorFlow, which takes seconds and is not needed here.
WITHOUT_TENSORFLOW = f"""
import sys, time, types
for name, folder in (("kerasbert", ""), ("kerasbert.checkpoints", "/checkpoints")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [{str(CHECKOUT / "kerasbert")!r} + folder]
from pathlib import Path
from kerasbert.checkpoints import archives, unpacking
archive, go = sys.argv[1:]
"""


def start(code, *arguments):
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_that_extract_at_once(tmp_path, home):
    files = {**FILES, "publish/large.bin": os.urandom(4_000_000)}
    path = make_zip(tmp_path / "a.zip", files)
    code = """
print("ready", flush=True)
while not Path(go).exists():
    time.sleep(0.001)
print(archives.extract(archive))
"""
    processes = [start(code, path, tmp_path / "go") for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    folders = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    (folder,) = folders
    assert contents(Path(folder)) == files
    assert in_cache(home) == [Path(folder).name]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals and locks")
def test_a_killed_process_leaves_nothing_that_counts(tmp_path, home):
    path = make_zip(tmp_path / "a.zip", FILES)
    code = """
count = 0
def hang(folder):
    global count
    count += 1
    if count == 3:
        print("halfway", flush=True)
        time.sleep(600)
    return types.SimpleNamespace(free=2**60)
unpacking.shutil.disk_usage = hang
archives.extract(archive)
"""
    process = start(code, path, "-")
    assert process.stdout.readline() == "halfway\n"
    (leftover,) = (home / "archives").glob(".tmp-*")
    assert contents(leftover), "the process was to be killed in the middle of its work"
    minutes_ago = time.time() - 300
    os.utime(leftover, (minutes_ago, minutes_ago))

    other = archives.extract(make_zip(tmp_path / "other.zip", {"vocab.txt": b"[PAD]"}))
    assert leftover.exists(), "the folder of a living process must be left alone"

    process.send_signal(signal.SIGKILL)
    process.communicate()
    folder = archives.extract(path)
    assert contents(folder) == FILES
    assert in_cache(home) == sorted([folder.name, other.name])


def test_leftovers_go_when_they_are_old(tmp_path, home):
    leftover = home / "archives" / ".tmp-somebody"
    leftover.mkdir(parents=True)
    archives.extract(make_zip(tmp_path / "a.zip", FILES))
    assert leftover.exists(), "its owner may not have locked it yet"
    days_ago = time.time() - 3 * 24 * 3600
    os.utime(leftover, (days_ago, days_ago))
    archives.extract(make_zip(tmp_path / "b.zip", {"vocab.txt": b""}))
    assert not leftover.exists()


def test_who_comes_second_uses_what_is_there(tmp_path, home):
    first = archives.extract(make_zip(tmp_path / "a.zip", FILES))
    inode = first.stat().st_ino
    with archives._temporary_folder(first.parent) as folder:
        archives._publish(folder, first)
    assert first.stat().st_ino == inode
    assert in_cache(home) == [first.name]


# ----------------------------------------------------------------------- hostile archives


HOSTILE_NAMES = [
    "../evil.txt",
    "a/../../evil.txt",
    "/evil.txt",
    "//host/share/evil.txt",
    "..\\evil.txt",
    "\\evil.txt",
    "C:\\evil.txt",
    "C:evil.txt",
    "vocab.txt:stream",
    "line\nbreak.txt",
    "..",
    "x" * 256,
]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_refuses_hostile_names(tmp_path, home, name, suffix):
    path = make(tmp_path / f"a{suffix}", {**FILES, name: b"evil"})
    before = sorted(tmp_path.parent.rglob("evil*"))
    with pytest.raises(UnsafeArchiveError, match=r"a\.(zip|tar).* was refused"):
        archives.extract(path)
    assert in_cache(home) == []
    assert sorted(tmp_path.parent.rglob("evil*")) == before


@pytest.mark.parametrize(
    "twins",
    [
        ("vocab.txt", "VOCAB.txt"),
        ("a/vocab.txt", "A/vocab.TXT"),
        ("a", "a/vocab.txt"),
        ("a/vocab.txt", "A"),
        ("\u00e9.txt", "e\u0301.txt"),
        ("a/vocab.txt", "a//./vocab.txt"),
    ],
)
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_refuses_names_that_collide(tmp_path, home, twins, suffix):
    path = make(tmp_path / f"a{suffix}", dict.fromkeys(twins, b"x"))
    with pytest.raises(UnsafeArchiveError, match="occurs twice"):
        archives.extract(path)
    assert in_cache(home) == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_refuses_links_and_devices_in_tar(tmp_path, home, kind):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("vocab.txt")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(UnsafeArchiveError, match="link, a device or a sparse file"):
        archives.extract(path)
    assert in_cache(home) == []


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_refuses_links_and_devices_in_zip(tmp_path, home, mode):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("vocab.txt")
        info.create_system, info.external_attr = 3, (mode | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UnsafeArchiveError, match="link or a device"):
        archives.extract(path)
    assert in_cache(home) == []


def test_refuses_sparse_files(tmp_path):
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("vocab.txt")
    info.type = tarfile.GNUTYPE_SPARSE
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(UnsafeArchiveError, match="sparse"):
        archives.extract(path)


@pytest.fixture
def small_limits(monkeypatch):
    monkeypatch.setattr(unpacking, "FREE_BYTES", 2**20)
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 20)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
@pytest.mark.parametrize("name", ["vocab.txt", "skipped.meta"])
def test_refuses_bombs(tmp_path, home, small_limits, suffix, name):
    path = make(tmp_path / f"a{suffix}", {name: bytes(2**23)})
    assert path.stat().st_size < 10_000
    with pytest.raises(UnsafeArchiveError, match="far more than a checkpoint"):
        archives.extract(path)
    assert in_cache(home) == []


def test_a_tiny_model_of_zeros_is_no_bomb(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"weights": bytes(2**22)})
    assert contents(archives.extract(path)) == {"weights": bytes(2**22)}


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_refuses_too_many_members(tmp_path, home, small_limits, suffix):
    path = make(tmp_path / f"a{suffix}", {f"{i}.txt": b"" for i in range(21)})
    with pytest.raises(UnsafeArchiveError, match="more than 20 members"):
        archives.extract(path)
    assert in_cache(home) == []


def test_does_not_believe_the_sizes_in_a_zip(tmp_path, home, small_limits):
    """Headers that claim one byte for a megabyte, so that a check of headers alone would pass."""
    path = make_zip(tmp_path / "a.zip", {"vocab.txt": bytes(2**23)})
    data = path.read_bytes().replace((2**23).to_bytes(4, "little"), (1).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(CheckpointFormatError, match="damaged"):
        archives.extract(path)
    assert in_cache(home) == []


def test_counts_the_bytes_that_come(tmp_path, home, small_limits, monkeypatch):
    """Should a decompressor ever give more than it declared, the count still ends it."""

    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return bytes(size)

    member = unpacking._Member("vocab.txt", 1, False, Endless)
    monkeypatch.setattr(unpacking, "_zip_members", lambda *_: [member])
    with pytest.raises(UnsafeArchiveError, match="far more than a checkpoint"):
        archives.extract(make_zip(tmp_path / "a.zip", FILES))
    assert in_cache(home) == []


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_refuses_headers_that_would_fill_the_memory(tmp_path, home, kind):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 2**33
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(UnsafeArchiveError, match="a header claims"):
        archives.extract(path)
    assert in_cache(home) == []


def test_a_tar_that_points_backwards_ends(tmp_path, home):
    block = bytearray(tarfile.TarInfo("vocab.txt").tobuf(tarfile.GNU_FORMAT))
    block[124:136] = tarfile.itn(-2048, 12, tarfile.GNU_FORMAT)
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    path = tmp_path / "a.tar"
    path.write_bytes(make_tar(path, FILES).read_bytes()[:2048] + bytes(block) + bytes(1024))
    with pytest.raises(CheckpointFormatError):
        archives.extract(path)
    assert in_cache(home) == []


def test_bounded_stream():
    stream = unpacking._BoundedStream(io.BytesIO(bytes(range(100))), allowed=10**6)
    assert stream.read(2) == b"\0\1"
    stream.seek(50)
    assert stream.tell() == 50
    assert stream.read(1) == b"2"
    stream.seek(51)
    with pytest.raises(tarfile.ReadError, match="backwards"):
        stream.seek(50)
    stream.seek(1000)
    assert stream.tell() == 100 and stream.read(5) == b""
    for size in (-1, 2**40):
        with pytest.raises(UnsafeArchiveError, match="a header claims"):
            stream.read(size)


PIECES = st.sampled_from(["..", ".", "/", "\\", "a", "C:", "~", "\0", " ", "con", "模型", "._"])


@given(st.one_of(st.text(max_size=30), st.lists(PIECES, max_size=8).map("".join)))
@settings(max_examples=500, deadline=None)
def test_safe_names_stay_below_the_folder(name):
    try:
        parts = unpacking._safe_parts(name)
    except UnsafeArchiveError:
        return
    for flavour, root in ((PurePosixPath, "/root"), (PureWindowsPath, "D:\\root")):
        joined = flavour(root).joinpath(*parts)
        assert joined.parts[: len(flavour(root).parts)] == flavour(root).parts
        assert ".." not in joined.parts


@given(
    st.dictionaries(st.lists(PIECES, max_size=6).map("".join), st.binary(max_size=9), max_size=3)
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_archive_writes_outside_its_folder(tmp_path, files):
    outside = tmp_path / "outside"
    folder = outside / "folder"
    folder.mkdir(parents=True, exist_ok=True)
    path = make_tar(tmp_path / "a.tar", files)
    with path.open("rb") as raw:
        with contextlib.suppress(CheckpointFormatError):
            unpacking.unpack(raw, path, folder)
    assert list(outside.iterdir()) == [folder]
    unpacking.shutil.rmtree(folder)


# ------------------------------------------------------------------ damaged and foreign files


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.xz", ".tar.bz2"])
@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.7, 0.98])
def test_truncated(tmp_path, home, suffix, fraction):
    path = make(tmp_path / f"a{suffix}", FILES)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(
        CheckpointFormatError, match=r"a\.(zip|tar).*(?i:download it again)"
    ) as caught:
        archives.extract(path)
    assert f"{path.stat().st_size:,} bytes" in str(caught.value)
    assert in_cache(home) == []


def test_truncated_plain_tar(tmp_path, home):
    path = make_tar(tmp_path / "a.tar", FILES)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CheckpointFormatError, match="truncated"):
        archives.extract(path)
    assert in_cache(home) == []


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_one_wrong_byte(tmp_path, home, suffix):
    path = make(tmp_path / f"a{suffix}", {"weights": os.urandom(5000)})
    data = bytearray(path.read_bytes())
    data[2500] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointFormatError, match="damaged or truncated"):
        archives.extract(path)
    assert in_cache(home) == []


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_anywhere(tmp_path, home, data):
    """Whatever the damage, the result is right or a clear error; nothing else."""
    suffix = data.draw(st.sampled_from([".zip", ".tar", ".tar.gz"]))
    path = make(tmp_path / f"a{suffix}", FILES)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        folder = archives.extract(path)
    except CheckpointFormatError:
        return
    if suffix != ".tar":  # which has no checksum of its contents
        assert set(contents(folder).values()) <= set(FILES.values())


def test_encrypted(tmp_path, home):
    path = make_zip(tmp_path / "a.zip", FILES)
    data = bytearray(path.read_bytes())
    start_of_entry = data.index(b"PK\x01\x02")
    data[start_of_entry + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(
        CheckpointFormatError, match="it is encrypted; unpack it with its password, and give"
    ):
        archives.extract(path)
    assert in_cache(home) == []


def test_unknown_compression(tmp_path):
    path = make_zip(tmp_path / "a.zip", FILES)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        data[data.index(signature) + offset] = 9  # deflate64
    path.write_bytes(data)
    with pytest.raises(CheckpointFormatError, match="Unpack it yourself"):
        archives.extract(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>", "web page"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "is a 7z archive"),
        (b"Rar!\x1a\x07" + bytes(99), "is a rar archive"),
        (b"\x28\xb5\x2f\xfd" + bytes(99), "is a zstandard archive"),
        (b"hello", "neither a zip nor a tar"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"\x1f\x8b", "damaged or truncated"),
        (b"PK\x03\x04", "damaged or truncated"),
        (b"PK\x05\x06", "damaged or truncated"),
    ],
)
def test_no_archive_at_all(tmp_path, home, data, message):
    path = tmp_path / "chinese_L-12_H-768_A-12.zip"
    path.write_bytes(data)
    with pytest.raises(CheckpointFormatError, match=message):
        archives.extract(path)
    assert in_cache(home) == []


def test_no_space(tmp_path, home, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(OSError, match=r"no space to unpack a.zip.*3,000 bytes.*KERASBERT_HOME"):
        archives.extract(make_zip(tmp_path / "a.zip", FILES))
    assert in_cache(home) == []
