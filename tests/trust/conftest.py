"""Two emulated workspaces, and a way to change the answers of a workspace."""

import contextlib
import json

import pytest
from emulated import keys, sample, workspaces

from cmlutils.entries import Totals
from cmlutils.flows.copying.result import FileResult

__all__ = ["keys", "sample", "workspaces"]


@pytest.fixture
def answering():
    """Return a function that passes each JSON reply of a workspace through `change(method, path, reply) -> reply`."""

    def install(workspace, change):
        server = workspace._server
        honest = server.answer

        def answer(request):
            reply = honest(request)
            if "json" in reply.headers.get("Content-Type", "") and reply.body.strip():
                reply.body = json.dumps(change(request.method, request.path, json.loads(reply.body))).encode()
            return reply

        server.answer = answer
        return lambda: setattr(server, "answer", honest)

    return install


@pytest.fixture
def without_files(monkeypatch):
    """No files are copied, so that a run takes only a moment."""
    monkeypatch.setattr("cmlutils.flows.connect.project_tunnel", lambda *_, **__: contextlib.nullcontext())
    for verb in ("export_project.survey", "export_project.pull", "import_project.push"):
        monkeypatch.setattr(f"cmlutils.flows.{verb}", lambda *_: FileResult(Totals()))
