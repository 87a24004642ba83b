"""An exported project on disk: whole files or none, private, and locked by one run at a time."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from cmlutils import TOOL, guard, paths
from cmlutils.errors import DISK_TROUBLE, BundleError, ConfigError
from cmlutils.journal import Journal
from cmlutils.lock import lock
from cmlutils.ours import has_ours
from cmlutils.units import utc_time
from cmlutils.urls import same_workspace, workspace_at
from cmlutils.wholefile import digest_of, read_bytes, read_json, write_bytes, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cmlutils.section import Section, Side

log = logging.getLogger(__name__)
FORMAT = 1
METADATA = ("project", "models", "applications", "jobs")  # the parts of a project, each with a file of its own


def folder_name(section: str) -> str:
    """Return a safe folder name for a section: the section's own name where that is safe, else quoted with a digest."""
    plain = bool(section) and section not in {".", ".."} and not re.search(r"[/\\\x00-\x1f\x7f]", section)
    if plain and len(os.fsencode(section)) <= 200:
        return section
    digest = hashlib.sha256(section.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{quote(section, safe=' ', errors='replace').replace('.', '%2E')[:160]}-{digest}"


class Bundle:
    """One section's folder below output_dir."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "project-data"  # the project's files
        self.manifest = folder / guard.MANIFEST  # says that the export is whole
        self.logs = folder / "logs"
        self.log_file = self.logs / "migration.log"  # what all runs have logged
        self.report_page = self.logs / "report.html"  # the last run's report
        self.state = folder / "state"  # journals and file lists
        self.scratch = self.state / guard.SCRATCH  # what a run needs for a moment
        self.file_list = self.state / "files.list"  # what the last export brought, for `saved_listing.read_list`
        self.lock_file = self.state / "lock"  # held by the run that is at the bundle
        self.progress = self.state / "progress.json"  # how far that run is
        self._unfinished = self.state / "export-unfinished"
        self._todo_file = self.state / "to-do.json"

    def metrics(self, side: Side) -> Path:
        """Return the path of the last report of this side."""
        return self.logs / f"{side}_metrics.json"

    def metadata(self, part: str) -> Path:
        """Return the path of one metadata file; `part` is one of METADATA."""
        return self.folder / "project-metadata" / f"{part}-metadata.json"

    def create(self) -> None:
        """Make the folders, mode 0700; refuse folders that are links or belong to another user.

        Raises ConfigError for an output_dir that can't be used, BundleError for a full disk or trouble inside the
        bundle.
        """
        try:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if warning := guard.place_warning(self.folder.parent):
                log.warning("%s", warning)
            own = [self.folder / name for name in guard.OWN_FOLDERS]
            for folder in (self.folder, self.data, *own):
                kind = ConfigError if folder == self.folder else BundleError
                if folder.is_symlink():
                    raise kind(f"{folder} is a symbolic link.", hint="Remove it, or choose another output_dir.")
                folder.mkdir(mode=0o700, exist_ok=True)
                if folder.stat().st_uid != os.geteuid():
                    raise kind(f"{folder} belongs to another user.", hint="Choose another output_dir.")
                folder.chmod(0o700)
            guard.check_ours(self.folder)
        except OSError as error:
            kind = BundleError if error.errno in DISK_TROUBLE else ConfigError
            text = f"{error.filename or self.folder} can't be created or written: {error.strerror}."
            raise kind(text, hint="Free disk space or fix the permissions, or choose another output_dir.") from error

    def check(self, *, changed: bool = False) -> None:
        """Raise BundleError when there is no finished export that an import can use; write nothing.

        With `changed`, metadata that was changed since the export is accepted: the caller looks at it.
        """
        if not paths.is_file(self.metadata("project")) or not paths.is_dir(self.data):
            raise BundleError(
                f"There is no exported project in {self.folder}.", hint="Run 'cmlutil project export' first."
            )
        if paths.exists(self._unfinished):
            raise BundleError(
                f"The export in {self.folder} did not finish.", hint="Run 'cmlutil project export' again."
            )
        damaged = self.changed_metadata()
        if damaged and not changed:
            path = self.metadata(damaged[0])
            what = "has changed since the export" if paths.exists(path) else "is missing"
            raise BundleError(f"{path} {what}.", hint="Run the export again.")

    @property
    def foreign(self) -> bool:
        """Whether it has no manifest, as if cloudera/cmlutils had written it."""
        return not paths.exists(self.manifest)

    @property
    def lost_manifest(self) -> bool:
        """Whether the manifest is missing although our own export wrote the metadata: it may not have finished."""
        return self.foreign and any(has_ours(self.metadata(part)) for part in METADATA)

    def missing_metadata(self) -> list[str]:
        """Return the parts of METADATA whose file a foreign bundle lacks; nothing for a bundle of ours."""
        return [part for part in METADATA if not paths.exists(self.metadata(part))] if self.foreign else []

    def changed_metadata(self) -> list[str]:
        """Return the parts of METADATA whose digest is not the manifest's; nothing for a foreign bundle."""
        if self.foreign:
            return []
        manifest = read_json(self.manifest, dict)
        version, digests = manifest.get("format"), manifest.get("digests")
        if type(version) is not int or not isinstance(digests, dict):
            raise BundleError(f"{self.manifest} has unexpected content.", hint="Run the export again.")
        if version > FORMAT:
            raise BundleError(f"{self.manifest} was written by a newer cmlutil.", hint="Update cmlutil.")
        return [part for part in METADATA if self._differs(part, digests.get(part))]

    def _differs(self, part: str, digest: object) -> bool:
        path = self.metadata(part)
        return not paths.exists(path) or digest_of(path) != digest

    def check_owner(self, project: str) -> None:
        """Raise BundleError when the bundle holds the project of another owner than that of `project` (owner/slug)."""
        last = self._source().partition(" ")[2]
        if "/" in last and last.partition("/")[0] != project.partition("/")[0]:
            raise BundleError(
                f"{self.folder} holds the export of {last}, which {project} would replace.",
                hint="Give one of them another output_dir, or remove that folder.",
            )

    def source_id(self, url: str) -> int:
        """Return the exported project's id on its source; 0 if the source is not the workspace at this url."""
        manifest = {} if self.foreign else read_json(self.manifest, dict)
        source, number = str(manifest.get("source") or "").partition(" ")[0], manifest.get("source_id")
        return number if isinstance(number, int) and same_workspace(source, url) else 0

    def _source(self) -> str:
        """Return the source of the last export as "URL OWNER/SLUG"; empty when it is not known."""
        with contextlib.suppress(BundleError):  # an export replaces what is damaged
            if paths.exists(self._unfinished):
                return read_bytes(self._unfinished).decode("utf-8", "replace")
            return str(read_json(self.manifest, dict).get("source") or "")
        return ""

    def begin_export(self, source: str) -> None:
        """Mark the bundle as unfinished until `seal`."""
        write_bytes(self._unfinished, source.encode())
        self.manifest.unlink(missing_ok=True)

    def seal(self, source: str, counts: dict[str, int], source_id: int = 0) -> None:
        """Write the manifest, which declares the export complete; `source_id` is the project's id on the source."""
        write_json(
            self.manifest,
            {
                "format": FORMAT,
                "tool": TOOL,
                "source": source,
                "source_id": source_id,
                "exported_at": utc_time(time.time()),
                "counts": counts,
                "digests": {part: digest_of(self.metadata(part)) for part in METADATA},
            },
        )
        self._unfinished.unlink(missing_ok=True)

    def keep_todos(self, texts: Iterable[str]) -> None:
        """Keep what an import leaves for a person to do, so that a later validation can repeat it."""
        write_json(self._todo_file, list(texts))

    def todos(self) -> list[str]:
        """Return what the last import left for a person to do; nothing if there was no import."""
        try:
            return [str(one) for one in read_json(self._todo_file, list)] if paths.exists(self._todo_file) else []
        except BundleError as error:
            error.hint = "Run the import again."
            raise

    def journal(self, url: str, owner: str, *, read_only: bool = False) -> Journal:
        """Return the journal of imports for this owner into the workspace at this url."""
        digest = hashlib.sha256(f"{workspace_at(url)} {owner}".encode()).hexdigest()[:16]
        return Journal(self.state / f"journal-{digest}.jsonl", read_only=read_only)

    def other_journals(self, mine: Journal) -> Iterator[Path]:
        """Yield the paths of all other journals: of the bundles beside this one, and of this one."""
        return (path for path in self.folder.parent.glob("*/state/journal-*.jsonl") if path != mine.path)

    def lock(self) -> AbstractContextManager[None]:
        """Keep other runs out of the bundle for the time of the block."""
        return lock(self.lock_file, self.folder)


def bundle_of(section: Section) -> Bundle:
    """Return a section's bundle: its folder below output_dir."""
    return Bundle(section.output_dir.absolute() / folder_name(section.name))
