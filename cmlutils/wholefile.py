"""Files of our own, written whole or not at all; one that is missing or damaged is a BundleError."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from cmlutils import strict_json
from cmlutils.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError within the block into a BundleError that says that this file can't be written."""
    try:
        yield
    except OSError as error:
        in_the_way = isinstance(error, IsADirectoryError)
        remedy = "Remove that folder" if in_the_way else "Free disk space or fix the permissions"
        raise BundleError(f"{path} can't be written: {error.strerror}.", hint=f"{remedy}, then try again.") from error


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file of mode 0600 that replaces `path` at the end of the block; raise BundleError if that fails.

    After a crash, or an exception in the block, `path` is as it was before.
    """
    with writing(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)  # noqa: PTH105
        except BaseException:
            with suppress(FileNotFoundError):  # a signal may come when it has its final name already
                os.unlink(name)  # noqa: PTH108
            raise


def write_json(path: Path, content: object) -> None:
    """Write a JSON file of mode 0600, completely or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=False)
    write_bytes(path, text.encode("utf-8", "backslashreplace") + b"\n")  # half a surrogate pair becomes JSON's \udXXX


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file by this content, completely or not at all; raise BundleError if that fails."""
    with whole_file(path) as file:
        file.write(content)


def read_json(path: Path, kind: type) -> Any:
    """Read a JSON file that holds an object or a list; raise BundleError naming the file."""
    try:
        content = strict_json.loads(read_bytes(path))
    except ValueError as error:
        raise BundleError(f"{path} is incomplete or damaged.", hint="Run the export again.") from error
    if not isinstance(content, kind):
        raise BundleError(f"{path} has unexpected content.", hint="Run the export again.")
    return content


def read_bytes(path: Path) -> bytes:
    """Read a file; raise BundleError naming it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BundleError(f"{path} is not a file.", hint="Remove it, and run the export again.")
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path} is missing.", hint="Run the export again.") from None
    except OSError as error:
        raise BundleError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error


def digest_of(path: Path) -> str:
    """Return a file's SHA-256 in the form that manifests use."""
    return "sha256:" + hashlib.sha256(read_bytes(path)).hexdigest()
