"""Whether the sections of the ini files fit together: by their names, their bundles, and what is in those."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from cmlutils.bundle import bundle_of
from cmlutils.config import nearest
from cmlutils.errors import BundleError
from cmlutils.finding import Finding, section_names
from cmlutils.section import one_output_dir
from cmlutils.urls import workspace_at
from cmlutils.wholefile import read_json
from cmlutils.workloads import identity_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.section import Section, Side


def misfits(names: Mapping[Side, Sequence[str]], sections: Sequence[Section]) -> list[Finding]:
    """Find sections that seem to be the same under two names, and sections whose export and import use other folders.

    `names` has all sections of the existing files, whether they can be used or not.
    """
    return _without_namesake(names, {one.name for one in sections}) + _other_folders(sections)


def _without_namesake(names: Mapping[Side, Sequence[str]], wanted: set[str]) -> list[Finding]:
    exported, imported = names.get("export", ()), names.get("import", ())
    left = dict.fromkeys(name for name in exported if name not in set(imported))
    found = []
    for name in (one for one in imported if one not in set(exported)):
        near = nearest(name, left)
        if near and wanted & {name, near}:
            text = f"[{name}] is in import-config.ini only; did you mean [{near}]?"
            found.append(Finding(name, "import", "warning", text, "give it the same name in both files"))
            del left[near]
    return found


def _other_folders(sections: Sequence[Section]) -> list[Finding]:
    """Return one finding for each pair of different folders, however many sections have it."""
    exports = {one.name: one for one in sections if one.side == "export"}
    pairs: dict[tuple[str, str], list[Section]] = defaultdict(list)
    for one in sections:
        if one.side == "import" and one.name in exports and not one_output_dir(exports[one.name], one):
            pairs[str(exports[one.name].output_dir), str(one.output_dir)].append(one)
    return [
        Finding(
            section_names(mine),
            "import",
            "warning",
            f"output_dir differs: export writes {there}, import looks in {here}",
            "write the same output_dir in both files, unless you carry the bundles over",
        )
        for (there, here), mine in pairs.items()
    ]


def same_subdomains(sections: Sequence[Section]) -> list[Finding]:
    """Find bundles whose applications want the same subdomain of the same target."""
    seen: dict[tuple[str, str], str] = {}
    found = []
    for section in sections:
        for subdomain in _subdomains(bundle_of(section)):
            other = seen.setdefault((workspace_at(section.workspace.url), subdomain), section.name)
            if other != section.name:
                what = f"subdomain {subdomain} is wanted by {other}, too: only one of them can have it"
                found.append(Finding(section.name, "import", "error", what, "change it in one of the projects"))
    return found


def _subdomains(bundle: Bundle) -> set[str]:
    try:
        records = read_json(bundle.metadata("applications"), list)
    except BundleError:  # not exported yet, or a finding of the section itself
        return set()
    return {identity_in("application", one)[0] for one in records if isinstance(one, dict)}
