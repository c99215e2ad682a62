import json
import os
import re
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from flows.cli.main import app
from flows.ingest.flow import ingest_batch
from flows.ingest.listed import Source
from flows.ingest.sources import list_sources, open_local
from flows.ingest.worker import decode_file
from flows.place import FILE_NAME
from flows.settings import template
from flows.workers.pool import WorkerPool
from flows.workspace import open_workspace
from tests.flows.conftest import UNTRAINED, workspace_with
from voxdata.errors import AudioError, ConfigError, DropReason, StalledError, TransientError
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "inbox"
    for name in [
        "b.wav",
        "sub/a b.mp3",
        "sub/.hidden.wav",
        "通話.flac",
        "two\nlines.wav",
        "notes.txt",
        "x[1].wav",
    ]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


@pytest.fixture
def web(folder):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def halting(tmp_path):
    """(URL, event): a web server that says how long a file is and sends half of it, and the rest
    once the event is set.
    """
    go_on = threading.Event()
    closed = threading.Event()
    rng = np.random.default_rng(5)
    for name in ["a.wav", "b.wav", "c.wav"]:
        soundfile.write(tmp_path / name, rng.uniform(-0.3, 0.3, 16_000), 16_000)

    class Halting(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def copyfile(self, source, outputfile):
            content = source.read()
            outputfile.write(content[:9_000])
            outputfile.flush()
            while self.path.startswith("/b") and not go_on.is_set() and not closed.wait(0.05):
                pass
            outputfile.write(content[9_000:])

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Halting, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", go_on
    closed.set()
    server.shutdown()
    server.server_close()


def test_a_remote_file_of_which_nothing_comes_waits_and_the_next_is_fetched(halting, tmp_path):
    url, go_on = halting
    workspace = tmp_path / "w"
    workspace.mkdir()
    settings = template().replace("fetch_stall_seconds = 60.0", "fetch_stall_seconds = 1.0")
    (workspace / FILE_NAME).write_text(settings)
    words = [
        "--dir",
        str(workspace),
        "ingest",
        "--json",
        *(f"{url}/{name}" for name in ["a.wav", "b.wav", "c.wav"]),
    ]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, TransientError)
    assert re.search(
        r"1 file was not ingested, the others were: \S+/b\.wav: nothing came of it",
        str(done.exception),
    )
    with open_workspace(workspace).warehouse() as con:
        assert len(list_recordings(con)) == 2
        assert list_drops(con) == []
    go_on.set()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["recordings"] == 1


def test_ingestion_ends_when_nothing_comes_of_several_in_a_row(halting, tmp_path):
    url, _ = halting
    workspace = workspace_with(tmp_path, "[sources]\nfetch_stall_seconds = 0.2\n" + UNTRAINED)
    listed = [
        Source(
            uri=f"{url}/b.wav?{n}",
            name="b.wav",
            size_bytes=32_044,
            modified_ns=0,
        )
        for n in range(9)
    ]
    began = time.monotonic()
    with (
        WorkerPool(workers=1) as pool,
        pytest.raises(StalledError, match=r"b\.wav\?2: nothing came"),
    ):
        ingest_batch.fn(workspace, listed, pool, decode_file)
    assert time.monotonic() - began < 60


def names(sources):
    return {source.name for source in sources}


def test_list_sources_lists_every_file_of_a_folder(folder):
    sources = list_sources([str(folder)])
    assert names(sources) == {
        "b.wav",
        "a b.mp3",
        ".hidden.wav",
        "通話.flac",
        "two\nlines.wav",
        "notes.txt",
        "x[1].wav",
    }
    uris = [source.uri for source in sources]
    assert uris == sorted(source.uri for source in sources)
    assert all(
        source.size_bytes == len(Path(source.uri).read_bytes()) and source.modified_ns > 0
        for source in sources
    )


def test_list_sources_lists_each_file_once_for_overlapping_patterns(folder, monkeypatch):
    monkeypatch.chdir(folder)
    patterns = [str(folder), "b.wav", str(folder / "*.wav"), (folder / "b.wav").as_uri(), "**/*"]
    assert list(list_sources(patterns)) == list(list_sources([str(folder)]))


def test_list_sources_expands_globs_but_takes_existing_names_literally(folder):
    assert names(list_sources([str(folder / "**" / "*.mp3")])) == {"a b.mp3"}
    assert names(list_sources([str(folder / "x[1].wav")])) == {"x[1].wav"}


def test_list_sources_decodes_file_urls(folder):
    assert names(list_sources([(folder / "通話.flac").as_uri()])) == {"通話.flac"}


@pytest.mark.parametrize(
    "pattern",
    ["gone.wav", "*.gone", "memory://gone/", "memory://gone/*.wav", "nosuch://x/y", ""],
)
def test_list_sources_names_a_pattern_that_matches_nothing(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        list_sources([pattern])
    assert pattern in str(caught.value)
    assert str(caught.value) != pattern


def test_list_sources_gives_nothing_for_an_empty_inbox(tmp_path):
    assert list(list_sources([str(tmp_path)])) == []


def test_list_sources_flags_links_that_lead_out_and_broken_ones(folder, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.wav").write_bytes(b"s")
    out_file = folder / "out.wav"
    out_file.symlink_to(tmp_path / "secret" / "s.wav")
    (folder / "outdir").symlink_to(tmp_path / "secret")
    (folder / "broken.wav").symlink_to(folder / "gone.wav")
    (folder / "inside.wav").symlink_to(folder / "b.wav")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.wav")
    sources = {source.name: source for source in list_sources([str(folder)])}
    assert {name for name, source in sources.items() if source.problem} == {
        "out.wav",
        "outdir",
        "broken.wav",
        "pipe.wav",
    }
    assert "s.wav" not in sources
    assert "loop" not in sources
    for name, reason in [("out.wav", DropReason.OUTSIDE), ("pipe.wav", DropReason.NOT_AUDIO)]:
        with pytest.raises(AudioError, match=name) as caught, open_local(sources[name]):
            pass
        assert caught.value.reason is reason
    with open_local(sources["inside.wav"]) as path:
        assert path.read_bytes() == b"b.wav"


def test_list_sources_follows_a_link_that_is_named(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert names(list_sources([str(tmp_path / "link")])) == names(list_sources([str(folder)]))


def test_list_sources_gives_a_url_for_a_name_that_is_not_utf8(tmp_path):
    (tmp_path / b"caf\xe9.wav".decode(errors="surrogateescape")).write_bytes(b"x")
    (source,) = list_sources([str(tmp_path)])
    assert source.uri.endswith("/caf%E9.wav")
    assert source.uri.startswith("file://")
    source.name.encode()
    with open_local(source) as path:
        assert path.read_bytes() == b"x"
    assert list(list_sources([source.uri])) == [source]


def test_list_sources_reads_an_object_store(tmp_path):
    fs = fsspec.filesystem("memory")
    for name in ["a.wav", "sub/b 录.mp3", "notes.txt"]:
        fs.pipe(f"/bucket/{name}", name.encode())
    try:
        sources = list_sources(["memory://bucket"])
        assert [(s.uri, s.size_bytes) for s in sources] == [
            ("memory:///bucket/a.wav", 5),
            ("memory:///bucket/notes.txt", 9),
            ("memory:///bucket/sub/b 录.mp3", 13),
        ]
        assert all(source.modified_ns > 0 for source in sources)
        assert names(list_sources(["memory://bucket/*.wav"])) == {"a.wav"}
        with open_local(sources[2]) as path:
            assert path.read_bytes() == "sub/b 录.mp3".encode()
            assert path.suffix == ".mp3"
        assert not path.exists()
        fs.rm("/bucket/a.wav")
        with pytest.raises(AudioError) as caught, open_local(sources[0]):
            pass
        assert caught.value.reason is DropReason.MISSING
    finally:
        fs.rm("/bucket", recursive=True)


def test_list_sources_reads_the_web(web):
    (source,) = list_sources([f"{web}/sub/a%20b.mp3"])
    assert source.name == "a b.mp3"
    assert source.size_bytes == 11
    with open_local(source) as path:
        assert path.read_bytes() == b"sub/a b.mp3"


def test_list_sources_names_a_web_page_that_is_not_there(web):
    with pytest.raises(ConfigError, match="gone"):
        list_sources([f"{web}/gone.wav"])


def test_list_sources_raises_transient_error_when_nobody_answers():
    with pytest.raises(TransientError, match="try again"):
        list_sources(["http://127.0.0.1:9/a.wav"])


def test_open_local_raises_transient_error_when_a_download_is_incomplete(web, folder):
    (source,) = list_sources([f"{web}/b.wav"])
    (folder / "b.wav").write_bytes(b"b")
    with pytest.raises(TransientError, match="1 bytes arrived"), open_local(source):
        pass


def test_open_local_raises_transient_error_when_the_server_is_gone():
    source = Source(
        uri="http://127.0.0.1:9/a.wav",
        name="a.wav",
        size_bytes=1,
        modified_ns=0,
    )
    with pytest.raises(TransientError), open_local(source):
        pass


def test_list_sources_reads_an_s3_bucket(monkeypatch):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(
        ip_address="127.0.0.1",
        port=0,
        verbose=False,
    )
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in [
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]:
            monkeypatch.setenv(name, value)
        fs = fsspec.filesystem("s3")
        fs.mkdir("calls")
        for name in ["2026/a.wav", "2026/b 录.mp3", "2025/c.wav"]:
            fs.pipe(f"calls/{name}", name.encode())
        uris = [source.uri for source in list_sources(["s3://calls/2026/"])]
        assert uris == [
            "s3://calls/2026/a.wav",
            "s3://calls/2026/b 录.mp3",
        ]
        assert names(list_sources(["s3://calls/**/*.wav"])) == {"a.wav", "c.wav"}
        (source,) = list_sources(["s3://calls/2025/c.wav"])
        assert source.modified_ns > 0
        with open_local(source) as path:
            assert path.read_bytes() == b"2025/c.wav"
        with pytest.raises(ConfigError, match="gone"):
            list_sources(["s3://gone/x.wav"])
    finally:
        server.stop()
