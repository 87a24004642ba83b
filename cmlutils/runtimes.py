"""Which runtime of the target replaces a runtime or engine of the source, and the user's maps for that."""

from __future__ import annotations

import difflib
import logging
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cmlutils.config import is_there
from cmlutils.constants import LEGACY_ENGINE_MAP
from cmlutils.errors import ConfigError
from cmlutils.report import join
from cmlutils.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)
RSYNC_IMAGE = "cloudera/ml-runtime-workbench-python3.9-standard-rsync"  # what to add where there is none
_ENGINES = ("python3", "python2", "r", "scala", "default")


@dataclass(frozen=True)
class Match:
    """A runtime of the target for a workload. `note` names a difference; `fallback` says that it is a large one."""

    runtime: Runtime
    note: str = ""
    fallback: bool = False


def version_key(text: str) -> tuple[int, ...]:
    """Order versions by number: 2023.12 comes after 2023.5."""
    return tuple(int(number[:18]) for number in re.findall(r"\d+", text))


def _newest(runtimes: Iterable[Runtime]) -> Runtime | None:
    return max(runtimes, key=lambda one: (one.enabled, version_key(one.full_version), one.image), default=None)


def nearest(wanted: Runtime, available: Sequence[Runtime]) -> Match | None:
    """Return the target's runtime nearest to the wanted one, never with another kernel.

    The same image is best; else the same (kernel, editor, edition, short, full version), dropping from the right.
    """
    for runtime in available:
        if wanted.image and runtime.image == wanted.image:
            return Match(runtime)
    if not wanted.kernel:
        return _same_repository(wanted, available)
    parts = ("kernel", "editor", "edition", "short_version", "full_version")
    for length in range(len(parts), 0, -1):
        same = [one for one in available if all(getattr(one, p) == getattr(wanted, p) for p in parts[:length])]
        best = _newest(same)
        if best is None:
            continue
        if length == len(parts):
            return Match(best, note=f"runtime image {best.image} instead of {wanted.image}" if wanted.image else "")
        return Match(best, note=f"runtime {best} instead of {wanted}", fallback=length < 3)
    return None


def _same_repository(wanted: Runtime, available: Sequence[Runtime]) -> Match | None:
    """Match a runtime of which only the image is known: the newest tag of the same repository."""
    name = _repository(wanted.image)
    best = _newest(one for one in available if name and _repository(one.image) == name)
    return Match(best, note=f"runtime image {best.image} instead of {wanted.image}") if best else None


def _repository(image: str) -> str:
    return image.rsplit("/", 1)[-1].split(":", maxsplit=1)[0]


def _speaks(runtime: Runtime, engine: str) -> bool:
    """Tell whether a runtime has the language of an engine's kernel, such as `python3` or `r`; `default` fits any."""
    language = engine.rstrip("0123456789. ").lower()
    return language in {"", "default"} or runtime.kernel.lower().partition(" ")[0] == language


def rsync_runtime(available: Sequence[Runtime]) -> Runtime | None:
    """Return the newest usable runtime whose edition mentions rsync, preferably with Python."""
    found = [one for one in available if "rsync" in one.edition.lower() and one.enabled]
    python = [one for one in found if one.kernel.startswith("Python")]
    return _newest(python or found)


def lacks_rsync(host: str, available: Sequence[Runtime]) -> str:
    """Return a message if this workspace has no usable runtime with rsync; empty if it has one."""
    return "" if rsync_runtime(available) else f"{host} has no rsync-enabled runtime in its catalogue."


@dataclass(frozen=True)
class Maps:
    """The user's own maps: source image to target image, and engine kernel to image."""

    images: Mapping[str, str]
    engines: Mapping[str, str]

    def find(self, wanted: Runtime | None, kernel: str, available: Sequence[Runtime]) -> Match | None:
        """Return the match for a workload that had this runtime, or (None) an engine with this kernel."""
        match = self._find(wanted, kernel, available)
        if match is None or match.runtime.enabled:
            return match
        return replace(match, note=join(match.note, f"the target has runtime {match.runtime} disabled or deprecated"))

    def _find(self, wanted: Runtime | None, kernel: str, available: Sequence[Runtime]) -> Match | None:
        if wanted is None:
            image = self.engines.get(kernel) or self.engines.get("default", "")
            found = nearest(Runtime(image=image), available) if image else None
            if found is None or not (kernel in self.engines or _speaks(found.runtime, kernel)):
                return None
            return Match(found.runtime, note=f"engine {kernel or 'default'} became runtime {found.runtime}")
        mapped = self.images.get(wanted.image)
        if mapped:
            exact = [one for one in available if one.image == mapped]
            return Match(exact[0], note=f"runtime-map.yaml: {mapped} for {wanted.image}") if exact else None
        return nearest(wanted, available)

    def named(self, wanted: Runtime | None, kernel: str) -> str:
        """Say which map names which image for such a workload; empty if none does."""
        if wanted is None:
            image = self.engines.get(kernel or "default", "")
            return f"the engine map names {image}" if image else ""
        mapped = self.images.get(wanted.image, "")
        return f"runtime-map.yaml names {mapped}" if mapped else ""


def load_maps(folders: Iterable[Path]) -> Maps:
    """Read runtime-map.yaml and engine-map.yaml, each from the first configuration folder that has it.

    Raises ConfigError for a file that is not a flat YAML mapping of texts; warns of an engine that seems mistyped.
    """
    folders = list(folders)
    images = _read_map(folders, "runtime-map.yaml")
    engines = _read_map(folders, "engine-map.yaml")
    for engine in engines or {}:
        near = difflib.get_close_matches(engine.lower(), _ENGINES, n=1)
        if near and engine not in _ENGINES:
            log.warning("engine-map.yaml: there is no engine %s; did you mean %s?", engine, near[0])
    return Maps(images or {}, LEGACY_ENGINE_MAP if engines is None else engines)


def _read_map(folders: Sequence[Path], file_name: str) -> dict[str, str] | None:
    import yaml

    for folder in folders:
        path = folder / file_name
        if not is_there(path):
            continue
        try:
            text = path.read_text(encoding="utf-8")
            content, node = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
        except OSError as error:
            raise ConfigError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
        except (ValueError, yaml.YAMLError) as error:  # also a date that is none
            mark = getattr(error, "problem_mark", None)
            where = f"{path}, line {mark.line + 1}: this" if mark else f"{path}"
            raise ConfigError(f"{where} is not readable YAML.", hint="Write lines of the form from: to.") from error
        content = {} if content is None else content
        if not isinstance(content, dict):
            raise ConfigError(f"{path} is not a map of text to text.", hint="Write lines of the form from: to.")
        for key, value in content.items():
            if not (isinstance(key, str) and isinstance(value, str)):
                raise ConfigError(
                    f"{path} is not a map of text to text: see {key!s:.100}.", hint="Write lines of the form from: to."
                )
        if isinstance(node, yaml.MappingNode):
            counts = Counter(key.value for key, _ in node.value)
            if twice := [key for key, count in counts.items() if count > 1]:
                raise ConfigError(f"{path} has {twice[0]} twice.", hint="Keep only one of the two lines.")
        return content
    return None
