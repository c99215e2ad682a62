"""Sources: the files, folders, globs and URLs that recordings come from."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fsspec.config import conf  # type: ignore[import-untyped]
from fsspec.core import url_to_fs  # type: ignore[import-untyped]

from flows.ingest.listed import Lister, Listing, Source
from flows.ingest.local import is_absent, list_local, local_source
from voxdata.durable import scratch_folder
from voxdata.errors import AudioError, ConfigError, DropReason, TransientError
from voxdata.stores import explain_store

STILL_S = 2.0
"""A file that did not change for so long has arrived."""

FETCH_STALL_S = 60.0
"""So long may no byte of a remote file come."""

_WEB = ("http", "https")
_SUFFIX = re.compile(r"\.\w{1,15}", re.ASCII)


def list_sources(patterns: Sequence[str]) -> Listing:
    """List every file that the patterns name, sorted by URI, each once.

    A folder stands for all files below it, hidden ones and sidecars included: what is no audio gets
    its row in the ledger instead of being passed over. Links inside a folder are followed when they
    stay inside; one that leads out, a broken one, and anything that is no regular file are listed
    with a `problem`. An existing folder without files gives nothing; that is how an inbox looks
    most days.

    Args:
        patterns: Files, folders, globs (`**` crosses folders), or URLs that fsspec opens (s3://,
            gs://, https://, file://, memory://). An existing path is taken literally, whatever
            characters it has. http(s) URLs are single files.

    Returns:
        The files. A pattern that matches nothing, that is no URL, or whose store is unknown or
        refuses access, is among them with its `problem`, as long as another pattern is in order.

    Raises:
        ConfigError: No pattern is in order.
        TransientError: A store cannot be reached.
    """
    lister = Lister()
    wrong: dict[str, ConfigError] = {}
    for pattern in patterns:
        try:
            _list_pattern(lister, pattern)
        except ConfigError as error:
            wrong[pattern] = error
    if wrong and len(wrong) == len(set(patterns)):
        raise next(iter(wrong.values()))
    for pattern, trouble in wrong.items():
        lister.add(_no_source(pattern, trouble))
    return lister.listing()


def _list_pattern(lister: Lister, pattern: str) -> None:
    scheme = _scheme(pattern)
    if scheme == "file":
        list_local(lister, _path_of(pattern), pattern)
    elif scheme:
        for source in _list_remote(pattern, scheme):
            lister.add(source)
    else:
        list_local(lister, pattern, pattern)


def _scheme(text: str) -> str:
    """What stands before "://", whatever comes behind it; "" for a path."""
    before, mark, _ = text.partition("://")
    return before.lower() if mark else ""


def _path_of(url: str) -> str:
    """The path that a file:// URL names.

    Raises:
        ConfigError: It is no URL.
    """
    try:
        return unquote(urlsplit(url).path, errors="surrogateescape")
    except ValueError as error:
        raise ConfigError(f"{url!r} is no URL ({error})") from error


def _no_source(pattern: str, error: ConfigError) -> Source:
    """A pattern that names nothing, among others that do.

    It gets its row in the ledger, and is looked at again each time.
    """
    problem = str(error).removeprefix(f"{pattern!r} ").removeprefix(f"{pattern}: ")
    name = storable(pattern)
    return Source(
        uri=name,
        name=name,
        size_bytes=-1,
        modified_ns=0,
        problem=storable(problem),
        problem_reason=DropReason.NOT_READABLE,
    )


def storable(text: str) -> str:
    """A text as the warehouse can hold it: bytes of names that are no UTF-8 are written out.

    >>> storable("caf\\udce9.wav")
    'caf\\\\udce9.wav'
    """
    return text.encode(errors="backslashreplace").decode()


def list_file(uri: str) -> Source:
    """One file by its very name: a path, whatever characters it has, or a URL.

    Raises:
        ConfigError: It is not there, is a folder, or its store is unknown or refuses access.
        TransientError: Its store cannot be reached.
    """
    scheme = _scheme(uri)
    if scheme and scheme != "file":
        files = _list_remote(uri, scheme)
        if len(files) != 1:
            raise ConfigError(f"{uri}: is {len(files)} files; name one")
        return files[0]
    path = Path(_path_of(uri) if scheme else uri)
    if is_absent(path):
        raise ConfigError(f"{path}: there is no such file")
    # Unlike Path.is_dir() it is no error where access is denied.
    if os.path.isdir(path):  # noqa: PTH112
        raise ConfigError(f"{path}: is a folder; name one file")
    return local_source(path)


@contextmanager
def open_local(
    source: Source, *, near: Path | None = None, stall_s: float = FETCH_STALL_S
) -> Iterator[Path]:
    """Lend a local path to the file for the length of a `with` block.

    A remote file is fetched into a temporary one.

    Args:
        near: The workspace, in whose scratch folder a remote file is put.
        stall_s: Fetching it is given up when no byte comes for so long.

    Raises:
        AudioError: The source has a `problem`, or is gone.
        ConfigError: Its store refuses access.
        StalledError: No byte came for `stall_s`.
        TransientError: It cannot be fetched now, or arrived incomplete.
        MachineError: There is no room for it.
    """
    if source.problem:
        raise AudioError(f"{source.uri}: {source.problem}", reason=source.problem_reason)
    if source.path is not None:
        yield source.path
        return
    with scratch_folder(near=near) as folder:
        path = folder / ("source" + _plain_suffix(source.name))
        try:
            fs, remote = url_to_fs(source.uri, **_patience(_scheme(source.uri), stall_s))
            fs.get_file(remote, str(path))
        except FileNotFoundError as error:
            raise AudioError(
                f"{source.uri}: is no longer there", reason=DropReason.MISSING
            ) from error
        except Exception as error:  # every store raises exceptions of its own
            raise explain_store(source.uri, error) from error
        if 0 <= source.size_bytes != path.stat().st_size:
            arrived = f"{path.stat().st_size} bytes arrived instead of {source.size_bytes}"
            raise TransientError(f"{source.uri}: {arrived}; ingest again")
        yield path


def _patience(scheme: str, stall_s: float) -> dict[str, Any]:
    """Options by which a store's client gives up when nothing comes for so long, and not before.

    Others in fsspec's own files stay. A client of the web would give up after five minutes,
    whatever came.
    """
    if scheme == "s3":
        return {
            "config_kwargs": {
                **_configured("s3", "config_kwargs"),
                "connect_timeout": stall_s,
                "read_timeout": stall_s,
            }
        }
    name = {
        "http": "client_kwargs",
        "https": "client_kwargs",
        "gs": "session_kwargs",
        "gcs": "session_kwargs",
    }.get(scheme)
    if name is None:
        return {}
    from aiohttp import ClientTimeout

    return {
        name: {
            **_configured(scheme, name),
            "timeout": ClientTimeout(total=None, sock_connect=stall_s, sock_read=stall_s),
        }
    }


def _configured(scheme: str, option: str) -> dict[str, Any]:
    options: dict[str, Any] = conf.get(scheme, {}).get(option, {})
    return options


def _plain_suffix(name: str) -> str:
    """The suffix of a name that a store gave, as far as a file here may have it."""
    suffix = Path(name).suffix
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def in_their_words(text: str, source: Source, path: Path) -> str:
    """A message about a source, under its URI.

    It names neither the copy that it was fetched into, nor a name that is no UTF-8.
    """
    return storable(text.replace(str(path), source.uri))


def _list_remote(pattern: str, scheme: str) -> list[Source]:
    try:
        fs, path = url_to_fs(pattern, **_patience(scheme, FETCH_STALL_S))
        fs.invalidate_cache()
        if scheme in _WEB:
            entries = {path: fs.info(path)}
        elif any(mark in path for mark in "*?[") and not fs.exists(path):
            entries = {
                k: v
                for match, entry in fs.glob(path, detail=True).items()
                for k, v in _files_below(fs, match, entry).items()
            }
        elif fs.exists(path):
            entries = _files_below(fs, path, fs.info(path))
        else:
            entries = {}
    except FileNotFoundError as error:
        # For http, whatever went wrong: only some of it means that the file is not there.
        cause = error.__cause__
        if (
            isinstance(cause, Exception)
            and not isinstance(cause, FileNotFoundError)
            and getattr(cause, "status", None) not in (404, 410)
        ):
            raise explain_store(pattern, cause) from error
        raise ConfigError(f"{pattern!r} matches no file; check the URL") from error
    except Exception as error:  # every store raises exceptions of its own
        raise explain_store(pattern, error) from error
    if not entries:
        raise ConfigError(f"{pattern!r} matches no file; check the URL")
    urls = {key: key if scheme in _WEB else str(fs.unstrip_protocol(key)) for key in entries}
    return [_stay_inside(_remote_source(urls[key], entry), key) for key, entry in entries.items()]


def _stay_inside(source: Source, key: str) -> Source:
    """A store may list what it likes; a name that climbs out of its folder is not opened."""
    if ".." in key.split("/") or "\0" in key:
        return replace(
            source,
            problem="its name climbs out of the folder that the store lists; rename it there",
            problem_reason=DropReason.OUTSIDE,
        )
    return source


def _files_below(fs: Any, path: str, entry: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    if entry.get("type") != "directory":
        return {path: entry}
    below: dict[str, Mapping[str, Any]] = fs.find(path, detail=True)
    return below


def _remote_source(uri: str, entry: Mapping[str, Any]) -> Source:
    size = entry.get("size")
    try:
        name = unquote(urlsplit(uri).path.rsplit("/", 1)[-1]) or uri
    except ValueError:  # a store may call its files anything
        name = uri.rsplit("/", 1)[-1]
    return Source(
        uri=uri,
        name=name,
        size_bytes=-1 if size is None else int(size),
        modified_ns=_stamp_ns(entry),
    )


def _stamp_ns(entry: Mapping[str, Any]) -> int:
    for key in ("LastModified", "last_modified", "updated", "mtime", "modified", "created"):
        value = entry.get(key)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
            return (
                delta.days * 86_400_000_000 + delta.seconds * 1_000_000 + delta.microseconds
            ) * 1000
        if isinstance(value, int | float):
            return round(value * 1_000_000_000)
    etag = entry.get("ETag") or entry.get("etag")
    return int(hashlib.sha256(str(etag).encode()).hexdigest()[:15], 16) if etag else 0
