"""Digests of many files, computed on both sides at the same time, each where the file is."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cmlutils.errors import TransferError
from cmlutils.flows.copying.retrying import retrying
from cmlutils.localtree import local_path
from cmlutils.progress import FileProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from cmlutils.entries import Entry
    from cmlutils.remote.tunnel import Tunnel

UNREADABLE = "unreadable"
_FILES, _BYTES = 5000, 2 << 30  # the most that one command on the workspace computes
_SLOWEST = 1 << 20  # bytes a second, for the command's time-out
# b2sum takes half of sha256sum's time on large files, and both come with GNU coreutils
_TOOLS = {"b2sum": "b2sum -l 256", "sha256sum": "sha256sum"}


class Digests:
    """Finds files whose contents differ; the bundle's digests are computed once, even if both sides are compared."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._known: dict[tuple[str, bytes], str] = {}
        self._stop = threading.Event()

    def differing(
        self, tunnel: Tunnel, files: Sequence[Entry], tell: Callable[[FileProgress], None]
    ) -> Iterator[tuple[bytes, str, str]]:
        """Yield (path, digest here, digest there) for each file whose contents differ.

        A thread computes the local digests, and does nothing but read files, while the workspace computes its own.
        """
        tool = _tool(tunnel) if files else ""
        total, done, count = sum(entry.size for entry in files), 0, 0
        self._stop.clear()
        with ThreadPoolExecutor(1) as pool:
            try:
                for batch in _batches(files):
                    here = pool.submit(self._local, tool, batch)
                    there = _remote(tunnel, tool, batch)
                    mine = here.result()
                    for entry in batch:
                        left, right = mine[entry.path], there.get(entry.path, UNREADABLE)
                        if left != right or left == UNREADABLE:
                            yield entry.path, left, right
                    done, count = done + sum(entry.size for entry in batch), count + len(batch)
                    tell(FileProgress(done, total, count, len(files)))
            finally:
                self._stop.set()

    def _local(self, tool: str, batch: Iterable[Entry]) -> dict[bytes, str]:
        told = {}
        for entry in batch:
            key = (tool, entry.path)
            if key not in self._known:
                self._known[key] = self._digest(tool, local_path(self._data, entry.path))
            told[entry.path] = self._known[key]
        return told

    def _digest(self, tool: str, path: bytes) -> str:
        digest = _new(tool)
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - bytes
                while chunk := file.read(1 << 20):
                    if self._stop.is_set():  # nobody waits for it any more
                        return UNREADABLE
                    digest.update(chunk)
        except OSError:
            return UNREADABLE
        return digest.hexdigest()


def _batches(files: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in files:
        batch.append(entry)
        size += entry.size
        if len(batch) == _FILES or size >= _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _new(tool: str) -> hashlib._Hash | hashlib.blake2b:
    """Return what computes a tool's digest here; raise ValueError if a policy (FIPS) forbids that."""
    return hashlib.sha256() if tool == "sha256sum" else hashlib.blake2b(digest_size=32)


def _allowed_here(tool: str) -> bool:
    try:
        _new(tool)
    except ValueError:
        return False
    return True


def _tool(tunnel: Tunnel) -> str:
    tools = [*filter(_allowed_here, _TOOLS)]
    script = f"for tool in {' '.join(tools)}; do command -v $tool; done; true"
    found = retrying(tunnel, lambda: tunnel.run(script))
    for name in tools:
        if f"/{name}\n".encode() in found.out:
            return name
    raise TransferError("The workspace can't compute digests.", hint="Its runtime needs sha256sum; or use --quick.")


def _remote(tunnel: Tunnel, tool: str, batch: Iterable[Entry]) -> dict[bytes, str]:
    """Return the workspace's digests by path, without files that it can't read."""
    names = b"".join(b"./" + entry.path + b"\0" for entry in batch)
    seconds = 600 + sum(entry.size for entry in batch) / _SLOWEST
    script = f"LC_ALL=C xargs -0 -r {_TOOLS[tool]} -z --"
    result = retrying(tunnel, lambda: tunnel.run(script, names, timeout=seconds, ok=(0, 1, 123)))
    told, asked = {}, iter(batch)
    for record in result.out.split(b"\0")[:-1]:
        digest, _, name = record.partition(b"  ./")
        if found := next((entry for entry in asked if name in {entry.path, _as_text(entry.path)}), None):
            told[found.path] = digest.decode("ascii", "replace")
    return told


def _as_text(path: bytes) -> bytes:
    """Return a path as uutils' tools print it: what is not UTF-8 becomes U+FFFD."""
    return path.decode("utf-8", "replace").encode()
