"""A project's files: `pull` brings them down, `push` takes them up."""

from __future__ import annotations

from cmlutils.flows.copying.pull import listing_here, pull
from cmlutils.flows.copying.push import push, reading_bundle
from cmlutils.flows.copying.result import FileResult
from cmlutils.flows.copying.survey import survey

__all__ = ["FileResult", "listing_here", "pull", "push", "reading_bundle", "survey"]
