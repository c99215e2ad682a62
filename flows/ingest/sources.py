"""Sources: the files, folders, globs and URLs that recordings come from."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fsspec.config import conf  # type: ignore[import-untyped]
from fsspec.core import url_to_fs  # type: ignore[import-untyped]

from voxdata.durable import scratch_folder
from voxdata.errors import AudioError, ConfigError, DropReason, TransientError
from voxdata.machine import find_fault
from voxdata.stores import explain_store

STILL_S = 2.0
"""A file that did not change for so long has arrived."""

FETCH_STALL_S = 60.0
"""So long may no byte of a remote file come."""

_WEB = ("http", "https")
_SUFFIX = re.compile(r"\.\w{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file that may hold a recording.

    Attributes:
        uri: Absolute path (as a file:// URL when the name is not valid UTF-8) or URL.
        name: The last part of the path, for people.
        size_bytes: -1 when the store does not say.
        modified_ns: When it last changed; where a store tells no time, a number that changes with its ETag; else 0.
        path: Where it lies on this machine; None when it must be fetched.
        problem: Why it cannot be read, such as a link that leads out of the folder; "" when nothing is known to be wrong.
        problem_reason: What the ledger records then.
    """

    uri: str
    name: str
    size_bytes: int
    modified_ns: int
    path: Path | None = None
    problem: str = ""
    problem_reason: DropReason = DropReason.MISSING


def list_sources(patterns: Sequence[str]) -> list[Source]:
    """List every file that the patterns name, sorted by URI, each once.

    A folder stands for all files below it, hidden ones and sidecars included: what is no audio gets its row in the ledger instead of
    being passed over. Links inside a folder are followed when they stay inside; one that leads out, a broken one, and anything that is
    no regular file are listed with a `problem`. An existing folder without files gives nothing; that is how an inbox looks most days.

    Args:
        patterns: Files, folders, globs (`**` crosses folders), or URLs that fsspec opens (s3://, gs://, https://, file://, memory://).
            An existing path is taken literally, whatever characters it has. http(s) URLs are single files.

    Returns:
        The files. A pattern that matches nothing, that is no URL, or whose store is unknown or refuses access, is among them with its
        `problem`, as long as another pattern is in order.

    Raises:
        ConfigError: No pattern is in order.
        TransientError: A store cannot be reached.
    """
    found: dict[str, Source] = {}
    wrong: dict[str, ConfigError] = {}
    for pattern in patterns:
        try:
            found.update((source.uri, source) for source in _list_pattern(pattern))
        except ConfigError as error:
            wrong[pattern] = error
    if wrong and len(wrong) == len(set(patterns)):
        raise next(iter(wrong.values()))
    for pattern, trouble in wrong.items():
        source = _no_source(pattern, trouble)
        found[source.uri] = source
    return [found[uri] for uri in sorted(found)]


def _list_pattern(pattern: str) -> list[Source]:
    scheme = _scheme(pattern)
    if scheme == "file":
        return _list_local(_path_of(pattern), pattern)
    return _list_remote(pattern, scheme) if scheme else _list_local(pattern, pattern)


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
    """A pattern that names nothing, among others that do: it gets its row in the ledger, and is looked at again each time."""
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
        found = _list_remote(uri, scheme)
        if len(found) != 1:
            raise ConfigError(f"{uri}: is {len(found)} files; name one")
        return found[0]
    path = Path(_path_of(uri) if scheme else uri)
    if _is_absent(path):
        raise ConfigError(f"{path}: there is no such file")
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir() it is no error where access is denied
        raise ConfigError(f"{path}: is a folder; name one file")
    return _local_source(path, inside=None)


@contextmanager
def open_local(
    source: Source, *, near: Path | None = None, stall_s: float = FETCH_STALL_S
) -> Iterator[Path]:
    """Lend a local path to the file for the length of a `with` block; a remote file is fetched into a temporary one.

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
            raise TransientError(
                f"{source.uri}: {path.stat().st_size} bytes arrived instead of {source.size_bytes}; ingest again"
            )
        yield path


def _patience(scheme: str, stall_s: float) -> dict[str, Any]:
    """Options by which a store's client gives up when nothing comes for so long, and not before; others in fsspec's own files stay.

    A client of the web would give up after five minutes, whatever came.
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
    found: dict[str, Any] = conf.get(scheme, {}).get(option, {})
    return found


def _plain_suffix(name: str) -> str:
    """The suffix of a name that a store gave, as far as a file here may have it."""
    suffix = Path(name).suffix
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def in_their_words(text: str, source: Source, path: Path) -> str:
    """A message about a source, under its URI: not the copy it was fetched into, nor a name that is no UTF-8."""
    return storable(text.replace(str(path), source.uri))


def _is_absent(path: Path) -> bool:
    """Whether there is no such name; one that may not be looked at is there, as far as we know."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return False
    return False


def _list_local(text: str, pattern: str) -> list[Source]:
    if not text.strip():
        raise ConfigError(f"{pattern!r} names no file; give a path or URL")
    try:
        path = Path(text).expanduser()
        matches = [str(path)]
        if _is_absent(path):
            # pathlib knows no pattern that is absolute.
            matches = glob.glob(str(path), recursive=True, include_hidden=True)  # noqa: PTH207
    except (ValueError, RuntimeError) as error:  # such as "~nobody"
        raise ConfigError(f"{pattern!r} is not a path ({error})") from error
    if not matches:
        raise ConfigError(f"{pattern!r} matches no file; check the path")
    return [source for match in matches for source in _list_below(Path(match))]


def _list_below(path: Path) -> list[Source]:
    # Unlike Path.is_dir() it is no error where access is denied.
    return _walk(path) if os.path.isdir(path) else [_local_source(path, inside=None)]  # noqa: PTH112


def _walk(root: Path) -> list[Source]:
    inside = root.resolve()
    problems: list[OSError] = []
    out: list[Source] = []
    for folder, folders, files in os.walk(root, onerror=problems.append):
        out += [_local_source(Path(folder) / name, inside=inside) for name in files]
        # Unlike Path.is_symlink() it is no error where a path is longer than the system allows.
        links = [path for name in folders if os.path.islink(path := Path(folder) / name)]  # noqa: PTH114
        # A link to a folder inside is not followed: the walk reaches its files by their own names.
        out += [_local_source(link, inside=inside) for link in links if _leads_out(link, inside)]
    for problem in problems:
        source = _local_source(Path(os.fsdecode(problem.filename)), inside=None)
        _blame_machine(problem)
        words = f"the folder cannot be read ({problem.strerror}); grant access or move it"
        out.append(_with_problem(source, words, reason=DropReason.NOT_READABLE))
    return out


def _leads_out(link: Path, inside: Path) -> bool:
    """Whether a link ends outside a folder, or nowhere."""
    try:
        return not link.resolve().is_relative_to(inside)
    except (OSError, RuntimeError):  # changed while it was looked at, into one that leads to itself
        return True


def _local_source(path: Path, *, inside: Path | None) -> Source:
    absolute = path.absolute()
    if ".." in absolute.parts:
        # One name for one file; the last part stays as it is, since it may be a link.
        absolute = absolute.parent.resolve() / absolute.name
    try:
        str(absolute).encode()
        uri = str(absolute)
    except UnicodeEncodeError:
        uri = absolute.as_uri()
    name = os.fsencode(absolute.name).decode(errors="replace")
    try:
        info = absolute.stat()
    except OSError as error:
        _blame_machine(error)
        gone = isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP
        reason = DropReason.MISSING if gone else DropReason.NOT_READABLE
        problem = (
            "a link that leads nowhere"
            if gone and absolute.is_symlink()
            else f"cannot be read ({error.strerror})"
        )
        return Source(
            uri=uri,
            name=name,
            size_bytes=-1,
            modified_ns=0,
            path=absolute,
            problem=problem,
            problem_reason=reason,
        )
    source = Source(
        uri=uri, name=name, size_bytes=info.st_size, modified_ns=info.st_mtime_ns, path=absolute
    )
    if inside is not None and absolute.is_symlink() and _leads_out(absolute, inside):
        return _with_problem(
            source,
            "a link that leads out of its folder; name its target to ingest it",
            reason=DropReason.OUTSIDE,
        )
    if not stat.S_ISREG(info.st_mode) and not stat.S_ISDIR(info.st_mode):
        return _with_problem(
            source, "not a regular file (a pipe, socket or device)", reason=DropReason.NOT_AUDIO
        )
    return source


def _blame_machine(error: OSError) -> None:
    """Raise what is the machine's fault, such as too many open files; the rest is said of the file."""
    fault = find_fault(error)
    if fault is not None:
        raise fault from error


def _with_problem(
    source: Source, problem: str, *, reason: DropReason = DropReason.MISSING
) -> Source:
    return Source(
        uri=source.uri,
        name=source.name,
        size_bytes=source.size_bytes,
        modified_ns=source.modified_ns,
        path=source.path,
        problem=problem,
        problem_reason=reason,
    )


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
        cause = (
            error.__cause__
        )  # for http, whatever went wrong: only some of it means that the file is not there
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
        return _with_problem(
            source,
            "its name climbs out of the folder that the store lists; rename it there",
            reason=DropReason.OUTSIDE,
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
