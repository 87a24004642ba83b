"""A project's files: `pull` brings them down, `push` takes them up."""

from __future__ import annotations

from cmlutils.flows.file_result import FileResult
from cmlutils.flows.pull import pull
from cmlutils.flows.push import push, pushed_list
from cmlutils.flows.transfer import Progress, Silent

__all__ = ["FileResult", "Progress", "Silent", "pull", "push", "pushed_list"]
