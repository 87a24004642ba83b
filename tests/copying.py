"""Copies a project's files in one direction, without a command line; compares and changes files."""

import filecmp
import os

from cmlutils.bundle import Bundle
from cmlutils.entries import compare
from cmlutils.flows.copying import pull as pulling
from cmlutils.flows.copying import push as pushing
from cmlutils.flows.copying.bundle_files import reading_bundle
from cmlutils.flows.copying.pushed import target_key
from cmlutils.flows.copying.survey import listing_here, survey
from cmlutils.localtree import walk
from cmlutils.progress import Silent


def difference(left, right):
    """Compare the listings of two trees, without `.cache` and `left…` on the left; common files must be equal."""
    tops = left, right
    left, right = list(walk(left)), list(walk(right))
    for path in {each.path for each in left if each.kind == "f"} & {each.path for each in right}:
        one, other = (os.fsencode(top) + b"/" + path for top in tops)
        if os.access(one, os.R_OK):
            assert filecmp.cmp(one, other, shallow=False), path
    return compare([each for each in left if not each.path.startswith((b".cache", b"left"))], right, folder_times=True)


def pull(way, folder, progress=None):
    bundle, progress = Bundle(folder), progress or Silent()
    with listing_here(bundle) as here:
        return pulling.pull(way, bundle, survey(way, bundle, here, progress), progress)


def push(way, folder, progress=None, *, into="me/p"):
    with reading_bundle(Bundle(folder), way.workspace.url, into) as found:
        return pushing.push(way, found, progress or Silent())


class Copy:
    """Copying between a project and a bundle, from or to the workspace that is the migration's `side`.

    It goes from `source` to `goal`; new files grow in the folder `aside`. `key` is that of its recopy list.
    """

    def __init__(self, side, way, project, bundle):
        self.side, self._way, self._bundle = side, way, bundle
        self.key = target_key(way.workspace.url, "me/p") if side == "target" else side
        self.source, self.goal, self.aside = project, bundle / "project-data", bundle / "state/arriving"
        if side == "target":
            self.source, self.goal, self.aside = self.goal, project, project / ".cmlutil-tmp/new"

    def __call__(self, progress=None):
        return (push if self.side == "target" else pull)(self._way, self._bundle, progress)


def overwrite(path, content):
    """Change a file's content, but nothing that a listing shows."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


class At(Silent):
    """Performs an action each time that this step begins."""

    def __init__(self, step, action):
        self.wanted, self.action, self.times = step, action, 0

    def step(self, name):
        if name == self.wanted:
            self.times += 1
            self.action(self.times)
