"""Worlds, workspaces and clients for the emulator's own tests."""

from __future__ import annotations

import copy
import io
import os
import signal
import subprocess
import tarfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import requests

from cmlutils.emulator.server import start_workspace
from cmlutils.emulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cmlutils.emulator.server import Workspace

DANA, KAI, ADMIN = "d" * 32, "k" * 32, "a" * 32

WORLD: dict[str, Any] = {
    "users": [
        {"username": "dana", "name": "Dana Reed", "api_key": DANA},
        {"username": "kai", "api_key": KAI},
        {"username": "boss", "api_key": ADMIN, "admin": True},
    ],
    "teams": [{"username": "research", "members": {"dana": "owner", "kai": "write"}}],
    "runtimes": [
        {"id": 84, "image_identifier": "img-standard:2", "editor": "Workbench", "kernel": "Python 3.9",
         "edition": "Standard", "short_version": "2023.05", "full_version": "2023.05.2-b7"},
        {"id": 83, "image_identifier": "img-standard:1", "editor": "Workbench", "kernel": "Python 3.9",
         "edition": "Standard", "short_version": "2022.11", "full_version": "2022.11.1-b2"},
        {"id": 85, "image_identifier": "img-rsync:2", "editor": "Workbench", "kernel": "Python 3.9",
         "edition": "Standard Rsync", "short_version": "2023.05", "full_version": "2023.05.2-b7"},
        {"id": 86, "image_identifier": "img-old", "editor": "Workbench", "kernel": "R 4.1", "edition": "Standard",
         "short_version": "2020.01", "full_version": "2020.01.1-b1", "status": "DISABLED"},
    ],
    "engine_images": [{"id": 3, "repository": "engine", "tag": "14"}, {"id": 4, "repository": "engine", "tag": "15"}],
    "addons": [{"id": 7, "component": "Spark"}],
    "projects": [
        {
            "owner": "dana", "name": "Churn Model", "description": "monthly", "shared_memory": 256,
            "environment": {"A": "1"}, "collaborators": {"kai": "write"},
            "files": {"README.md": "hello", "jobs/run.py": "print(1)", "a b/ü.txt": "x"},
            "generate": [{"count": 12, "size": 2000, "tree": "data"}],
            "symlinks": {"link": "README.md", "gone": "/nowhere"}, "folders": ["empty"],
            "modes": {"jobs/run.py": "755"},
            "jobs": [
                {"name": "first", "type": "cron", "schedule": "0 2 * * *", "script": "jobs/run.py",
                 "runtime": "img-standard:2", "recipients": {"failure": "ops@example.com"}, "timeout": 60},
                {"name": "second", "type": "dependent", "parent": "first", "script": "jobs/run.py", "runtime": 84},
            ],
            "models": [
                {"name": "served", "state": "deployed", "target_file_path": "m.py", "target_function_name": "f",
                 "runtime": "img-standard:2", "comment": "first"},
                {"name": "bare", "state": "unbuilt"},
            ],
            "applications": [
                {"name": "ui", "subdomain": "ui-dana", "script": "app.py", "runtime": "img-standard:2"},
                {"name": "idle", "subdomain": "idle-dana", "script": "app.py", "status": "never-started"},
            ],
        },
        {"owner": "kai", "name": "Open", "visibility": "public", "engine_type": "legacy_engine"},
        {"owner": "kai", "name": "Secret"},
        {"owner": "research", "name": "Shared"},
    ],
}  # fmt: skip


class Api:
    """A client with one user's key; ``call`` fails unless the status is the expected one."""

    def __init__(self, workspace: Workspace, key: str) -> None:
        self.workspace = workspace
        self.session = requests.Session()
        self.session.auth = (key, "")
        self.session.trust_env = False
        self.session.verify = str(workspace.ca_file) if workspace.ca_file else True

    def call(self, expected: int, method: str, path: str, body: Any = None, **more: Any) -> Any:
        if not path.startswith(("/api", "/cli", "/emulator")):
            path = f"/api/v1/{path}"
        reply = self.session.request(method, self.workspace.url + path, json=body, timeout=20, **more)
        assert reply.status_code == expected, f"{method} {path}: {reply.status_code} {reply.text}"
        is_json = reply.content and "json" in reply.headers["Content-Type"]
        return reply.json() if is_json else reply.content

    def models(self, verb: str, body: Any, expected: int = 200) -> Any:
        return self.call(expected, "POST", f"/api/altus-ds-1/models/{verb}", body)


@pytest.fixture(scope="session")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key: Path = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key


@pytest.fixture
def world_data(ssh_key: Path) -> dict[str, Any]:
    data = copy.deepcopy(WORLD)
    data["users"][0]["ssh_keys"] = [ssh_key.with_suffix(".pub").read_text()]
    return data


@pytest.fixture
def start(tmp_path: Path, world_data: dict[str, Any]) -> Iterator[Callable[..., Workspace]]:
    """Return a function that starts a workspace with the sample world and changes to it; several may run at once."""
    with ExitStack() as stack:
        count = iter(range(100))

        def begin(personality: Any = "cml", *, tls: bool = False, port: int = 0, **changes: Any) -> Workspace:
            world = World.load({**world_data, **changes})
            state = tmp_path / f"state{next(count)}"
            running = start_workspace(world, personality=personality, tls=tls, port=port, state_dir=state)
            return stack.enter_context(running)

        yield begin


@pytest.fixture
def workspace(start: Callable[..., Workspace]) -> Workspace:
    return start()


@pytest.fixture
def login() -> Iterator[Callable[..., Api]]:
    """Return a function that makes a client of a workspace, with the key of the project's owner or the key given."""
    with ExitStack() as stack:

        def make(workspace: Workspace, key: str = DANA) -> Api:
            api = Api(workspace, key)
            stack.enter_context(api.session)
            return api

        yield make


@pytest.fixture
def api(workspace: Workspace, login: Callable[..., Api]) -> Api:
    return login(workspace)


class Client:
    """The cdswctl that a workspace serves, with its own home folder."""

    def __init__(self, workspace: Workspace, folder: Path, ssh_key: Path) -> None:
        self.folder, self.ssh_key = folder, ssh_key
        folder.mkdir()
        self.program = folder / "cdswctl"
        verify = str(workspace.ca_file) if workspace.ca_file else True
        packed = requests.get(f"{workspace.url}/cli/linux/amd64/cdsw.tar.gz", timeout=20, verify=verify).content
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            (member,) = [item for item in tar if item.isfile()]
            assert member.name.split("/")[1:] == ["cdswctl"]
            self.program.write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
        self.program.chmod(0o755)
        self.env = {**os.environ, "HOME": str(folder)}
        self.running: list[subprocess.Popen[str]] = []

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *words], env={**self.env, **env}, capture_output=True, text=True, timeout=20, check=False
        )

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [self.program, *words], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.running.append(process)
        return process

    def tunnel(self, *words: str) -> tuple[subprocess.Popen[str], int]:
        """Open an ssh endpoint; return the process and the local port."""
        process = self.spawn("ssh-endpoint", *words)
        line = process.stdout.readline()  # type: ignore[union-attr]
        assert line.startswith("Forwarding local port "), process.communicate()
        process.stdout.readline()  # type: ignore[union-attr]
        process.stdout.readline()  # type: ignore[union-attr]
        return process, int(line.split()[3])

    def ssh(self, port: int) -> list[str]:
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR",
                   "IdentitiesOnly=yes")  # fmt: skip
        return ["ssh", "-F", "none", "-p", str(port), "-i", str(self.ssh_key), *(f"-o{option}" for option in options)]

    def on(self, port: int, command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.ssh(port), "cdsw@localhost", command], input=stdin, capture_output=True, timeout=30, check=False
        )

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()


@pytest.fixture
def client(tmp_path: Path, ssh_key: Path) -> Iterator[Callable[..., Client]]:
    """Return a function that makes a logged-in cdswctl of a workspace."""
    made: list[Client] = []

    def make(workspace: Workspace, *, log_in: bool = True) -> Client:
        one = Client(workspace, tmp_path / f"client{len(made)}", ssh_key)
        made.append(one)
        if log_in:
            done = one.run("login", "-n", "dana", "-u", workspace.url, "-y", DANA)
            assert (done.returncode, done.stdout) == (0, "Login succeeded\n"), done
        return one

    yield make
    for one in made:
        one.close()
