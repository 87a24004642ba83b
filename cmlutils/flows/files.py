"""A project's files: `pull` brings them down, `push` takes them up."""

from __future__ import annotations

from cmlutils.flows.file_result import FileResult
from cmlutils.flows.pull import listing_here, pull
from cmlutils.flows.push import push, reading_bundle
from cmlutils.flows.survey import survey

__all__ = ["FileResult", "listing_here", "pull", "push", "reading_bundle", "survey"]
