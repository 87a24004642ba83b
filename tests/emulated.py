"""Two emulated workspaces, ini files for them, and a sample project to migrate.

The fixtures are here for the folders whose conftest.py imports them.
"""

import subprocess
from contextlib import ExitStack
from copy import deepcopy

import pytest

from cmlutils.emulator.server import start_workspace
from cmlutils.emulator.world import World

EXPORT, IMPORT, VALIDATE = (
    f'cmlutil project {verb} -p "Churn Model"' for verb in ("export", "import", "validate-migration")
)
BUNDLE = "bundles/Churn Model"  # below HOME
SOURCE_KEY, TARGET_KEY = "source0key0source0key0source0key0", "target0key0target0key0target0key0"


def runtime(number, edition="Standard", full="2023.05.2-b7", kernel="Python 3.9"):
    version = kernel.replace(" ", "").lower()
    return {
        "id": number,
        "image_identifier": f"reg.example.com/ml-runtime-workbench-{version}-{edition.lower()}:{full}",
        "editor": "Workbench",
        "kernel": kernel,
        "edition": edition,
        "short_version": full.rpartition(".")[0],
        "full_version": full,
    }


SAMPLE = {
    "owner": "dana",
    "name": "Churn Model",
    "description": "monthly churn",
    "visibility": "public",
    "shared_memory": 256,
    "environment": {"STORAGE": "s3a://bucket", "TOKEN": "canary-environment-value"},
    "collaborators": {"kai": "write"},
    "files": {
            ".exportignore": "*.log\n!keep.log\n.cache/\n",
            "serve.py": "print(1)\n",
            "jobs/score.py": "print(2)\n",
            "a.log": "no\n",
            "keep.log": "yes\n",
            ".cache/x": "no\n",
            "odd name é.txt": "x\n",
            ".env": "A=b\n",
    },
    "generate": [{"count": 60, "size": 500}],
    "symlinks": {"latest": "data/none"},
    "folders": ["empty"],
    "modes": {"serve.py": "755"},
    "jobs": [
        {"name": "ingest", "script": "jobs/score.py", "type": "cron", "schedule": "0 2 * * *", "timezone": "UTC",
         "runtime_id": 11, "timeout": 60, "arguments": "--all", "environment": {"MODE": "full"}},
        {"name": "score", "script": "jobs/score.py", "type": "dependent", "parent": "ingest", "runtime_id": 11},
        {"name": "mail", "script": "jobs/score.py", "type": "dependent", "parent": "score", "runtime_id": 11,
         "attachments": ["out.html"], "recipients": {"failure": "ops@example.com"}},
    ],
    "models": [
        {"name": "Explain", "description": "d", "auth_enabled": False, "cpu_millicores": 500, "state": "deployed",
         "target_file_path": "serve.py", "target_function_name": "explain", "runtime_id": 11,
         "comment": "first", "examples": [{"request": {"x": 1}}]},
        {"name": "Score", "target_file_path": "serve.py", "target_function_name": "f", "runtime_id": 11,
         "state": "built"},
    ],
    "applications": [
        {"name": "What if", "script": "serve.py", "subdomain": "what-if", "runtime_id": 11,
         "environment": {"TASK": "serve"}},
        {"name": "Board", "script": "serve.py", "subdomain": "board", "runtime_id": 11, "bypass_authentication": True},
    ],
}  # fmt: skip


@pytest.fixture
def keys(home):
    """An ssh key pair in the default place; returns the public key."""
    folder = home / ".ssh"
    folder.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "id_ed25519"], check=True)
    return (folder / "id_ed25519.pub").read_text()


def users(key, public):
    return [
        {"username": "dana", "id": 21, "api_key": key, "ssh_keys": [public]},
        {"username": "kai", "id": 22, "api_key": "kai" + key[3:], "ssh_keys": [public]},
    ]


@pytest.fixture
def sample():
    """The sample project, in the form of a world's YAML; a test may change it before it calls `workspaces`."""
    return deepcopy(SAMPLE)


@pytest.fixture
def workspaces(home, keys, sample, tmp_path):
    """Return a function that starts source and target, with options for what the target has or lacks."""
    with ExitStack() as stack:

        def start(
            *,
            without=(),
            section="Churn Model",
            more="",
            target_more=None,
            source_more=None,
            source_runtimes=(),
            teams=(),
        ):
            source_world = {
                "users": [*users(SOURCE_KEY, keys), *teams],
                "runtimes": [
                    runtime(11),
                    runtime(12, "Standard-Rsync"),
                    *(runtime(number, kernel=kernel) for number, kernel in source_runtimes),
                ],
                "projects": [sample],
                **(source_more or {}),
            }
            target_world = {
                "users": [*users(TARGET_KEY, keys), *teams],
                "runtimes": [
                    runtime(71, "Standard-Rsync"),
                    runtime(72, full="2023.08.1-b2"),
                    runtime(73, kernel="R 4.1"),
                ],
                "projects": [],
                "assume": dict.fromkeys(without, False),
                "pace": {"polls": 0},  # nothing but waiting: tests/faults/test_model_builds.py looks at what takes time
                **(target_more or {}),
            }
            source = stack.enter_context(
                start_workspace(World.load(source_world), personality="cdsw", state_dir=tmp_path / "source")
            )
            target = stack.enter_context(
                start_workspace(World.load(target_world), personality="cml", state_dir=tmp_path / "target")
            )
            folder = home / "cmlutils"
            folder.mkdir(exist_ok=True)
            for side, workspace, key in (("export", source, SOURCE_KEY), ("import", target, TARGET_KEY)):
                path = folder / f"{side}-config.ini"
                path.write_text(
                    f"[DEFAULT]\nurl={workspace.url}\noutput_dir=~/bundles\nusername=dana\napiv1_key={key}\n"
                    f"[{section}]\n{more}"
                )
                path.chmod(0o600)
            return source, target

        yield start


def live(workspace):
    """Return what was live but must never be: anything but the start of an application at its creation."""
    return [event for event in workspace.went_live if event.kind != "application-started"]


def running(workspace):
    return [event for event in workspace.went_live if event.stopped is None]
