"""An exported project on disk: whole files or none, private, and locked by one run at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cmlutils import __version__, guard
from cmlutils.errors import BundleError
from cmlutils.lock import Lock

if TYPE_CHECKING:
    from pathlib import Path

    from cmlutils.config import Section

log = logging.getLogger(__name__)
FORMAT = 1
METADATA = ("project", "models", "applications", "jobs")
_FOLDERS = ("project-data", "project-metadata", "logs", "state")


def folder_name(section: str) -> str:
    """Return the one safe folder name of a section: its own name wherever that is a plain one."""
    plain = bool(section) and section not in {".", ".."} and not re.search(r"[/\\\x00-\x1f\x7f]", section)
    if plain and len(os.fsencode(section)) <= 200:
        return section
    digest = hashlib.sha256(section.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{quote(section, safe=' ', errors='replace').replace('.', '%2E')[:160]}-{digest}"


def existing_folder(folder: Path) -> Path:
    """Return this folder, or the nearest one above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def write_json(path: Path, content: object) -> None:
    """Write a JSON file with mode 0600, whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=False)
    write_bytes(path, text.encode("utf-8", "backslashreplace") + b"\n")  # half a surrogate pair becomes JSON's \udXXX


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file by this content; after a crash there is the old one or the new one."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)  # noqa: PTH105
        except BaseException:
            os.unlink(name)  # noqa: PTH108
            raise
    except OSError as error:
        raise BundleError(
            f"{path} can't be written: {error.strerror}.",
            hint="Free disk space or fix the permissions, and run it again.",
        ) from error


def read_json(path: Path, kind: type) -> Any:
    """Read a JSON file that holds an object or a list; raise BundleError naming the file."""
    try:
        content = json.loads(_bytes_of(path), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is cut off or damaged.", hint="Run the export again.") from error
    if not isinstance(content, kind):
        raise BundleError(f"{path} does not hold what it should.", hint="Run the export again.")
    return content


def _bytes_of(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise BundleError(f"{path} is not a file.", hint="Remove it, and run the export again.")
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path} is missing.", hint="Run the export again.") from None
    except OSError as error:
        raise BundleError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True)
class Bundle:
    """One section's folder below output_dir."""

    folder: Path

    @property
    def data(self) -> Path:
        """The project's files."""
        return self.folder / "project-data"

    @property
    def logs(self) -> Path:
        """Logs, metrics and reports."""
        return self.folder / "logs"

    @property
    def state(self) -> Path:
        """Journals and file lists."""
        return self.folder / "state"

    @property
    def manifest(self) -> Path:
        """The file that says that the export is whole."""
        return self.folder / "manifest.json"

    @property
    def _unfinished(self) -> Path:
        return self.state / "export-unfinished"

    def metadata(self, kind: str) -> Path:
        """Return the path of one metadata file; `kind` is one of METADATA."""
        return self.folder / "project-metadata" / f"{kind}-metadata.json"

    def create(self) -> None:
        """Make the folders, mode 0700; refuse what is a link or somebody else's, or can be made so by others."""
        try:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if warning := guard.place_warning(self.folder.parent):
                log.warning("%s", warning)
            for folder in (self.folder, *(self.folder / name for name in _FOLDERS)):
                if folder.is_symlink():
                    raise BundleError(f"{folder} is a symbolic link.", hint="Remove it, or choose another output_dir.")
                folder.mkdir(mode=0o700, exist_ok=True)
                if folder.stat().st_uid != os.geteuid():
                    raise BundleError(f"{folder} belongs to another user.", hint="Choose another output_dir.")
                folder.chmod(0o700)
            guard.check_ours(self.folder / name for name in _FOLDERS if name != "project-data")
        except OSError as error:
            raise BundleError(
                f"{error.filename or self.folder} can't be created or written: {error.strerror}.",
                hint="Choose an output_dir that you may write to.",
            ) from error

    def check(self, *, changed: bool = False) -> None:
        """Raise BundleError when there is no export that an import can use; writes nothing.

        With `changed`, metadata that is not what the export wrote is let pass: the caller looks at it.
        """
        if not self.metadata("project").is_file() or not self.data.is_dir():
            raise BundleError(
                f"There is no exported project in {self.folder}.", hint="Run 'cmlutil project export' first."
            )
        if self._unfinished.exists():
            raise BundleError(
                f"The export in {self.folder} did not finish.", hint="Run 'cmlutil project export' again."
            )
        damaged = self.changed_metadata()
        if damaged and not changed:
            path = self.metadata(damaged[0])
            what = "is not what the export wrote" if path.exists() else "is missing"
            raise BundleError(f"{path} {what}.", hint="Run the export again.")

    @property
    def foreign(self) -> bool:
        """Whether cloudera/cmlutils wrote it: it has no manifest."""
        return not self.manifest.exists()

    def changed_metadata(self) -> list[str]:
        """Return the kinds whose metadata is no longer what the manifest says; a foreign bundle has none."""
        if self.foreign:
            return []
        manifest = read_json(self.manifest, dict)
        version, digests = manifest.get("format"), manifest.get("digests")
        if type(version) is not int or not isinstance(digests, dict):
            raise BundleError(f"{self.manifest} does not hold what it should.", hint="Run the export again.")
        if version > FORMAT:
            raise BundleError(f"{self.manifest} is of a newer format than this cmlutil knows.", hint="Update cmlutil.")
        return [kind for kind in METADATA if self._differs(kind, digests.get(kind))]

    def _differs(self, kind: str, digest: object) -> bool:
        path = self.metadata(kind)
        return not path.exists() or _digest(path) != digest

    def check_owner(self, project: str) -> None:
        """Raise BundleError when this is the export of another owner's project (owner/slug): it would be lost."""
        last = re.fullmatch(r"\S+ ((\S+)/\S+)", self._source())
        if last and last[2] != project.partition("/")[0]:
            raise BundleError(
                f"{self.folder} holds the export of {last[1]}, and {project} would take its place.",
                hint="Give one of them another output_dir, or remove that folder.",
            )

    def _source(self) -> str:
        """Return what the last export was of: a url, and owner/slug; empty when nothing says so."""
        with contextlib.suppress(BundleError):  # an export replaces what is damaged
            if self._unfinished.exists():
                return _bytes_of(self._unfinished).decode("utf-8", "replace")
            return str(read_json(self.manifest, dict).get("source") or "")
        return ""

    def begin_export(self, source: str) -> None:
        """Mark the bundle unfinished until seal()."""
        write_bytes(self._unfinished, source.encode())
        self.manifest.unlink(missing_ok=True)

    def seal(self, source: str, counts: dict[str, int]) -> None:
        """Write the manifest, last of all: the export is whole."""
        write_json(
            self.manifest,
            {
                "format": FORMAT,
                "tool": f"cmlutil {__version__}",
                "source": source,
                "exported_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "counts": counts,
                "digests": {kind: _digest(self.metadata(kind)) for kind in METADATA},
            },
        )
        self._unfinished.unlink(missing_ok=True)

    def lock(self) -> Lock:
        """Return the lock that keeps two runs apart."""
        return Lock(self.folder / "state" / "lock", self.folder)


def bundle_of(section: Section) -> Bundle:
    """Return a section's bundle: its folder below output_dir."""
    return Bundle(section.output_dir.absolute() / folder_name(section.name))


def _digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(_bytes_of(path)).hexdigest()
