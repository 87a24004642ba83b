"""Whatever happens to one request of an import, the next import ends as a clean one does: all is there once, and inert.

By default a seeded sample of (request, fault) is tested; CMLUTILS_TEST_ALL_FAULTS=1 tests all.
"""

import os
import random
import shutil

import pytest
from emulated import live, running
from replaying import Crash, dump, replay, target_of, write_bundle

from cmlutils.emulator.faults import Fault
from cmlutils.errors import ExitCode, Unreachable
from cmlutils.remote import exchange

EVERY = bool(os.environ.get("CMLUTILS_TEST_ALL_FAULTS"))

FAULTS = {
    "503": {"action": "status", "status": 503},
    "429": {"action": "status", "status": 429, "headers": {"Retry-After": "7"}},
    "reset": {"action": "reset"},
    "reset after": {"action": "reset-after"},
    "502 after": {"action": "status-after", "status": 502},
    "html": {"action": "html"},
    "cut json": {"action": "cut-json"},
    "hang": {"action": "hang", "seconds": 1.5},
    "hang after": {"action": "hang-after", "seconds": 1.5},
}
SAMPLE = 4  # requests for each fault and target
CRASHES = ("crash before", "crash after")
TARGETS = {
    "all": (),
    "v2": ("job_paused_shown", "job_patch", "application_stop", "dashboard_stop", "application_public_id"),
    "build": ("build_at_create", "model_auth_at_create", "job_parent_id"),
}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """What a clean import makes on each target, and how many requests it takes."""
    found = {}
    for name, without in TARGETS.items():
        folder = tmp_path_factory.mktemp("clean")
        with target_of(folder, without) as workspace:
            run = replay(workspace, write_bundle(folder / "bundle"))
            assert run.code == 0, run
            assert not live(workspace)
            found[name] = (dump(workspace), len(workspace.requests))
    return found


def cases(count, name):
    """Return the numbers of the requests to hit: all of them, or a sample that depends on the name."""
    every = range(1, count + 1)
    if EVERY:
        return every
    return sorted(random.Random(name).sample(every, SAMPLE))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("fault", [*FAULTS, *CRASHES])
@pytest.mark.parametrize("which", TARGETS)
def test_after_one_fault_the_next_import_ends_as_a_clean_one(clean, tmp_path, monkeypatch, which, fault):
    wanted, count = clean[which]
    for nth in cases(count, f"{which} {fault}"):
        folder = tmp_path / str(nth)
        with target_of(folder, TARGETS[which]) as workspace:
            bundle = write_bundle(folder / "bundle")
            where = f"{fault} at request {nth}"
            if fault in FAULTS:
                workspace.faults.add(Fault(nth=nth, **FAULTS[fault]))
                with monkeypatch.context() as patch:
                    if "hang" in fault:
                        patch.setattr(exchange, "TIMEOUTS", (5.0, 1.0))
                        patch.setattr(exchange, "SHORT_TIMEOUTS", (5.0, 1.0))
                    first = replay(workspace, bundle)
            else:
                first = replay(workspace, bundle, nth, after=fault == "crash after")
            hit = workspace.requests[nth - 1] if len(workspace.requests) >= nth else "after the end"
            where += f" ({hit}): {first.error or first.report.outcomes}"
            if first.code == ExitCode.OK:
                assert {**dump(workspace), "keys": 0} == {**wanted, "keys": 0}, where
            if not isinstance(first.error, (Crash, Unreachable)):
                assert not running(workspace), where
            workspace.faults.clear()
            second = replay(workspace, bundle)
            assert second.code == ExitCode.OK, f"{where}, then {second.error or second.report.outcomes}"
            assert dump(workspace) == wanted, where
            assert not live(workspace), where
            assert not running(workspace), where
        shutil.rmtree(folder)
