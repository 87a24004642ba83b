"""A project's files: `pull` brings them down, `push` takes them up."""

from __future__ import annotations

from cmlutils.flows.file_result import FileResult
from cmlutils.flows.pull import begin_pull, pull
from cmlutils.flows.push import begin_push, push, pushed_list
from cmlutils.flows.transfer import Progress, Silent

__all__ = ["FileResult", "Progress", "Silent", "begin_pull", "begin_push", "pull", "push", "pushed_list"]
