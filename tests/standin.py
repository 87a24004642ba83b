"""A fake cdswctl that starts a real sshd, which runs every command in one folder."""

import getpass
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

SSHD = "/usr/sbin/sshd"
SCRIPT = r"""#!{python} -S
import os, signal, socket, subprocess, sys, time
from pathlib import Path
base = Path({base!r}); args = sys.argv[1:]; sessions = base / "sessions"
mode = (base / "mode").read_text()
with (base / "calls").open("a") as log: log.write(" ".join(args) + "\n")
if args[0] == "login":
    (base / "loggedin").touch(); print("Login succeeded"); sys.exit(0)
if args[:2] == ["sessions", "list"]:
    if sessions.exists(): print(sessions.read_text() + ": running")
    sys.exit(0)
if args[:2] == ["sessions", "stop"]:
    sessions.unlink(missing_ok=True); print("unexpected end of JSON input", file=sys.stderr); sys.exit(1)
if mode == "silent": time.sleep(60)
if mode == "denied": sys.exit("error: 401 Unauthorized for key sekrit")
if mode == "login" and not (base / "loggedin").exists(): sys.exit("please login first")
if mode == "noport" and "--port" in args: sys.exit("unknown flag `port'")
if mode == "taken" and not (base / "once").exists():
    (base / "once").touch(); print("can't listen on port", flush=True); time.sleep(60)
if "--port" in args: port = int(args[args.index("--port") + 1])
else:
    s = socket.socket(); s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]; s.close()
child = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(base / "sshd_config"), "-p", str(port)],
    stderr=open(base / "sshd.log", "a"))
while True:
    try: socket.create_connection(("127.0.0.1", port)).close(); break
    except OSError: time.sleep(0.02)
sessions.write_text("abcd1234abcd1234")
if mode == "late":
    import threading
    front = socket.create_server(("127.0.0.1", 0)); back, port, since = port, front.getsockname()[1], time.monotonic()
    def carry(a, b):
        while data := a.recv(1 << 16): b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    def serve():
        while True:
            one, _ = front.accept()
            if time.monotonic() < since + 2.5: one.close(); continue
            other = socket.create_connection(("127.0.0.1", back))
            for ends in ((one, other), (other, one)): threading.Thread(target=carry, args=ends, daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()
def end(*_):
    child.kill()
    if mode != "stays": sessions.unlink(missing_ok=True)
    os._exit(1)
signal.signal(signal.SIGINT, end)
if mode == "opening":
    signal.signal(signal.SIGINT, signal.SIG_DFL); time.sleep(1)
    print("on session abcd1234abcd1234 in project me/p", flush=True); signal.signal(signal.SIGINT, end); time.sleep(9)
print("some notice")
print(f"Forwarding local port {{port}} to port 2222 on session abcd1234abcd1234 in project me/p")
print(f"You can SSH to the session using\n    ssh -p {{port}} cdsw@localhost", flush=True)
child.wait()
"""


class StandIn:
    def __init__(self, base: Path) -> None:
        if not os.access(SSHD, os.X_OK):
            pytest.skip("needs sshd: apt-get install openssh-server")
        self.base, self.project, self.client = base, base / "project", base / "cdswctl"
        base.mkdir()
        self.project.mkdir()
        self.mode("")
        for name in ("host", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", base / name], check=True)
        (base / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nHostKey {base}/host\nAuthorizedKeysFile {base}/id.pub\n"
            "StrictModes no\n"
            f"PidFile none\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxSessions 50\n"
            f'ForceCommand cd {self.project} && PATH={base}/bin:$PATH exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.client.write_text(SCRIPT.format(python=sys.executable, base=str(base)))
        self.client.chmod(stat.S_IRWXU)
        self.login = f"{getpass.getuser()}@localhost"

    def mode(self, word: str) -> None:
        (self.base / "mode").write_text(word)

    def program(self, name: str, script: str, interpreter: str = "/bin/sh") -> None:
        """Put a script in the place of a program on the workspace."""
        path = self.base / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{interpreter}\n{script}\n")
        path.chmod(0o755)

    def calls(self) -> list[str]:
        path = self.base / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def open_session(self) -> bool:
        return (self.base / "sessions").exists()
