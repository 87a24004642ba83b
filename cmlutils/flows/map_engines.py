"""The engine map, from the target's runtimes: Workbench Standard first, then PBJ Workbench Standard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.errors import CheckFailed
from cmlutils.runtimes import version_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.runtime import Runtime

KERNELS = {"python3": "Python", "r": "R ", "scala": "Scala"}


def map_engines(runtimes: Sequence[Runtime]) -> dict[str, str]:
    """Return the image of the newest runtime for each engine kernel; raise CheckFailed without any for Python."""
    found = {}
    for kernel, start in KERNELS.items():
        for editor in ("Workbench", "PBJ Workbench"):
            fit = [one for one in runtimes if (one.editor, one.edition, one.enabled) == (editor, "Standard", True)]
            same = [one for one in fit if one.kernel.startswith(start)]
            if same:
                best = max(same, key=lambda one: (version_key(one.kernel), version_key(one.full_version)))
                found[kernel] = best.image
                break
    if "python3" not in found:
        raise CheckFailed(
            "The target has no Python runtime with editor Workbench or PBJ Workbench and edition Standard.",
            hint="Add one to its catalogue.",
        )
    return {**found, "python2": found["python3"], "default": found["python3"]}
