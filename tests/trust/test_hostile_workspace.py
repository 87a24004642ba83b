"""A malicious workspace, or a malicious bundle from somebody else: it is refused, and nothing is written elsewhere."""

import io
import json
import os
import random
import resource
import ssl
import tarfile
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme
from emulated import EXPORT, IMPORT
from spoil import spoilt

from cmlutils.bundle import Bundle
from cmlutils.entries import Entry
from cmlutils.errors import AnswerLost, ApiError, CmlutilError, CommandError, Rejected, TunnelError
from cmlutils.flows.copying.landing import fix_folders
from cmlutils.flows.copying.listing import KeptListing
from cmlutils.ignore import IgnoreRules
from cmlutils.remote import cdswctl, exchange, process
from cmlutils.remote.http import Http, Patience
from cmlutils.section import Secret, Workspace

KEY = "source0key0source0key0source0key0"


# The client's archive


def archive(*members, content=b"bin"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def fetched(data, folder):
    return cdswctl.fetch(lambda _path, file, _limit: file.write(data), folder)


@pytest.mark.parametrize("name", ["../../cdswctl", "/tmp/cdswctl", "a/../../cdswctl", "cdsw-2/cdswctl"])
def test_a_member_is_written_to_one_place_whatever_its_name(tmp_path, name):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = fetched(archive(("../evil", tarfile.REGTYPE), (name, tarfile.REGTYPE)), folder)
    assert path == folder / "cdswctl"
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_client_that_is_no_file_is_none(tmp_path, kind):
    with pytest.raises(TunnelError, match="holds no cdswctl"):
        fetched(archive(("cdsw-2/cdswctl", kind)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def packed(start, zeros):
    """Return a gzip of these bytes followed by this many zeros."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [pack.compress(start), *(pack.compress(bytes(1 << 20)) for _ in range(zeros >> 20)), pack.flush()]
    return b"".join(parts)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_archive_that_unpacks_without_end_is_given_up(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(cdswctl, "MAX_CLIENT", 8 << 20)
    member = tarfile.TarInfo("padding")
    member.type, member.size = kind, 10 << 30
    bomb = packed(member.tobuf(tarfile.GNU_FORMAT), 16 << 20)
    with pytest.raises(TunnelError, match="unpacks to more than"):
        fetched(bomb, tmp_path)


@pytest.mark.parametrize("spoil", [lambda data: data[:-9], lambda data: data[:40] + b"\0" * 40 + data[80:]])
def test_a_cut_or_damaged_archive_is_told(tmp_path, spoil):
    data = archive(("cdswctl", tarfile.REGTYPE), content=os.urandom(20_000))
    with pytest.raises(TunnelError):
        fetched(spoil(data), tmp_path)


def test_a_client_for_another_machine_is_told(tmp_path):
    foreign = bytearray(64)
    foreign[:7], foreign[16:20] = b"\x7fELF\x02\x01\x01", b"\x02\x00\xf3\x00"  # RISC-V
    path = fetched(archive(("cdswctl", tarfile.REGTYPE), content=bytes(foreign)), tmp_path)
    with pytest.raises(CommandError) as caught:
        process.run([str(path), "version"], timeout=5)
    assert "another kind of machine" in caught.value.hint
    path.chmod(0o600)
    with pytest.raises(CommandError) as caught:
        process.run([str(path), "version"], timeout=5)
    assert "TMPDIR" in caught.value.hint


# Output and answers


@pytest.fixture
def serving():
    """Return a function that starts a server with one answer for all, and returns its address and requests' headers."""
    servers = []

    def start(answer, context=None):
        came = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                came.append(dict(self.headers))
                try:
                    answer(self)
                except OSError:
                    self.close_connection = True

            do_PUT = do_POST = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}", came

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def http(url):
    return Http(Workspace(url, "dana", Secret(KEY)))


def answer(handler, status=200, body=b"{}", **headers):
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": len(body), **headers}.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize("packing", ["plain", "gzip"])
def test_an_endless_reply_is_given_up_within_little_memory(serving, packing):
    bomb = packed(b"", 128 << 20) if packing == "gzip" else b""

    def much(handler):
        if bomb:
            return answer(handler, body=bomb, Content_Encoding="gzip")
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 20))

    url, _ = serving(much)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ApiError, match="is larger than"):
        http(url).get("/api/v1/x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10  # KiB


def test_the_key_never_goes_along_to_another_host(serving):
    other, came = serving(answer)
    url, _ = serving(lambda handler: answer(handler, 302, Location=f"{other}/api/v1/x"))
    with pytest.raises(ApiError, match="a redirect to"):
        http(url).get("/api/v1/x")
    assert came == []


@pytest.fixture
def certified(serving, tmp_path):
    """Return a function that serves over TLS, and returns the address, the requests that came, and the CA's file."""

    def start(answer):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        url, came = serving(answer, context)
        return url.replace("http://127.0.0.1", "https://localhost"), came, tmp_path / "ca.pem"

    return start


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_the_key_never_goes_along_from_https_to_http(serving, certified, status, method):
    plain, overheard = serving(answer)
    url, came, ca = certified(lambda handler: answer(handler, status, Location=f"{plain}/api/v1/x"))
    with pytest.raises(ApiError, match="a redirect to"):
        Http(Workspace(url, "dana", Secret(KEY), verify=str(ca) if ca else True)).send(
            method, "/api/v1/x", idempotent=True
        )
    assert "Authorization" in came[0]
    assert (len(came), overheard) == (1, [])


def test_the_client_is_not_fetched_over_a_redirect_either(serving):
    other, came = serving(answer)
    url, _ = serving(lambda handler: answer(handler, 302, Location=f"{other}/cli/linux/x86_64/cdsw.tar.gz"))
    with pytest.raises(ApiError, match="a redirect to"):
        http(url).download("/cli/linux/x86_64/cdsw.tar.gz", io.BytesIO(), 1 << 20)
    assert came == []


def many_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n{}")


def long_header(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n{}")


def long_status(handler):
    handler.wfile.write(b"HTTP/1.1 200 " + b"y" * (1 << 20) + b"\r\n\r\n{}")


@pytest.mark.parametrize("answer", [many_headers, long_header, long_status])
def test_headers_without_measure_are_refused_and_not_waited_out(serving, answer):
    url, came = serving(answer)
    pauses = []
    client = Http(Workspace(url, "dana", Secret(KEY)), Patience(3600.0, pauses.append))
    client.answered = True  # so that it waits for a workspace that is away
    with pytest.raises(Rejected, match="headers are too long or too many"):
        client.get("/api/v1/x")
    assert (pauses, len(came)) == ([0.5, 1.0, 2.0], 4)
    with pytest.raises(AnswerLost):
        client.send("POST", "/api/v1/x", {})
    assert len(came) == 4 + 1


def drip(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"y")
        time.sleep(0.05)


def silent(handler):
    time.sleep(1.5)


def drip_body(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (drip, "no answer within the time allowed"),
        (silent, "no answer within the time allowed"),
        (drip_body, "longer than"),
    ],
)
def test_a_reply_that_drips_is_given_up(serving, certified, monkeypatch, answer, said, tls):
    monkeypatch.setattr(exchange, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(exchange, "REPLY_SECONDS", 0.5)
    url, _, ca = certified(answer) if tls else (*serving(answer), None)
    begin = time.monotonic()
    with pytest.raises(CmlutilError, match=said):
        Http(Workspace(url, "dana", Secret(KEY), verify=str(ca) if ca else True)).get("/api/v1/x")
    assert time.monotonic() - begin < 5


def test_what_is_no_number_is_no_json(serving):
    url, _ = serving(lambda handler: answer(handler, body=b'{"id": NaN}'))
    with pytest.raises(ApiError, match="other than JSON"):
        http(url).get("/api/v1/x")


def test_a_message_that_echoes_what_we_sent_is_masked():
    values = {"PASSWORD": "hunter2-hunter2", "PLAIN": "on"}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer(self, 422, json.dumps({"message": f"{self.headers['Authorization']} {KEY} {sent}"}).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ApiError) as caught:
            http(f"http://127.0.0.1:{server.server_address[1]}").send("PUT", "/api/v1/p/environment", values)
        server.shutdown()
    assert KEY not in str(caught.value)
    assert "hunter2" not in str(caught.value)


HOSTILE = "x\x1b]0;owned\x07\x1b[31m\x9b31m\r\nerror: forged line\u202egnp.exe\u2066"


def test_no_name_reaches_the_terminal_raw_or_forges_a_line(workspaces, without_files, run_line, sample, home):
    sample["jobs"] = [{"name": HOSTILE, "script": "a.py", "runtime_id": 11}]
    sample["models"] = [
        {"name": HOSTILE, "state": "built", "target_file_path": "a", "target_function_name": "f", "runtime_id": 11}
    ]
    sample["applications"][0] |= {"name": HOSTILE, "script": "../../etc/passwd"}
    workspaces()
    lines = [run_line(f"{EXPORT} -v"), run_line(f"{IMPORT} -v", exit_code={0, 1, 5})]
    logs = [path.read_text() for path in (home / "bundles/Churn Model/logs").iterdir() if path.suffix != ".json"]
    for text in (*(one.out + one.err for one in lines), *logs):
        assert "owned" in text
        assert not [letter for letter in text if letter in "\x1b\x07\x9b\r\u202e\u2066"]
        assert not [line for line in text.splitlines() if line.startswith("error: forged")] or text.startswith(
            "<!doctype"
        )


@pytest.mark.parametrize("line_end", ["\n", "\r"])
@pytest.mark.parametrize("place", ["name", "owner"])
def test_no_name_adds_a_line_to_the_ini_file_that_init_writes(
    workspaces, sample, answering, run_line, home, monkeypatch, line_end, place
):
    public = {"name": "Of Kai", "owner": "kai", "visibility": "public", "files": {}}
    source, _ = workspaces(source_more={"projects": [sample, public]})
    monkeypatch.setenv("CMLUTILS_SOURCE_APIV1_KEY", KEY)
    planted = f"{line_end}apiv1_key_command=touch {home}/ran{line_end}"

    def change(_, path, reply):
        for row in reply if path.endswith("/projects-summary") else ():
            if row["name"] == "Of Kai" and place == "name":
                row |= {"name": f"x]{planted}[y", "owner": {"username": "dana", "type": "user"}}
            elif row["name"] == "Of Kai":
                row["owner"]["username"] = f"kai{planted}"
        return reply

    answering(source, change)
    chosen = "--all" if place == "name" else '--project "Of Kai" --project "Churn Model"'
    line = run_line(f"cmlutil init --force --source-url {source.url} --source-username dana {chosen}")
    assert "an ini file can't hold such a name" in line.err
    assert "apiv1_key_command" not in (home / "cmlutils/export-config.ini").read_text()
    assert "[Churn Model]" in (home / "cmlutils/export-config.ini").read_text()
    run_line("cmlutil doctor", exit_code=range(256))
    assert not (home / "ran").exists()


@pytest.mark.parametrize("slug", ["../../x", "a/../..", "-rf", "a\x00b", "a\nb", "y" * 65536, "\ud800", ""])
def test_a_slug_that_is_no_part_of_a_path_is_refused(workspaces, without_files, answering, run_line, slug):
    source, _ = workspaces()

    def change(_method, path, reply):
        rows = reply if isinstance(reply, list) else [reply]
        for row in rows if "projects" in path else ():
            if isinstance(row, dict) and "slug_raw" in row:
                row["slug_raw"], row["slug"] = slug, f"dana/{slug}"
        return reply

    answering(source, change)
    line = run_line(EXPORT, exit_code=1)
    assert "Traceback" not in line.err
    assert len(line.err) < 20_000
    assert source.session_log == []


# Files


def test_a_folder_that_became_a_link_while_it_was_copied_is_not_reached_through(tmp_path):
    outside, data = tmp_path / "outside", tmp_path / "data"
    (outside / "b/c").mkdir(parents=True)
    data.mkdir()
    (data / "a").symlink_to(outside)
    before = [each.stat() for each in (outside / "b", outside / "b/c")]
    listed = [Entry(path, "d", 0, 10**18, 0o777) for path in (b"a", b"a/b", b"a/b/c")]
    fix_folders(data, KeptListing(iter(listed), IgnoreRules.parse(b"", source="")))
    after = [each.stat() for each in (outside / "b", outside / "b/c")]
    assert [(each.st_mode, each.st_mtime_ns) for each in after] == [(each.st_mode, each.st_mtime_ns) for each in before]


# Bundles made by somebody else


@pytest.fixture
def packed_bundle(workspaces, without_files, run_line, home):
    """An exported bundle; after a change, `repacked` seals it again, so that the change itself is examined."""
    workspaces(target_more={"pace": {"polls": 0}})
    run_line(EXPORT)
    return home / "bundles" / "Churn Model"


def repacked(folder):
    Bundle(folder).seal("https://ws.test dana/p", {})


@pytest.mark.parametrize("kind", ["project", "models", "applications", "jobs"])
def test_metadata_of_any_wrong_kind_is_told(packed_bundle, run_line, kind):
    path = packed_bundle / "project-metadata" / f"{kind}-metadata.json"
    whole = json.loads(path.read_text())
    for seed in range(6):
        content, did = spoilt(whole, random.Random(f"{kind} {seed}"))
        path.write_text(json.dumps(content))
        repacked(packed_bundle)
        line = run_line(IMPORT, exit_code=range(256))
        assert line.exit_code in {0, 1, 5}, f"{did}: {line.err}"
        assert "Traceback" not in line.err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b'{"name": NaN}', b"null", b"\x1f\x8b\x08", b""])
def test_metadata_that_is_no_json_is_told(packed_bundle, run_line, content):
    (packed_bundle / "project-metadata" / "project-metadata.json").write_bytes(content)
    repacked(packed_bundle)
    line = run_line(IMPORT, exit_code=1)
    assert "project-metadata.json" in line.err


@pytest.mark.parametrize("name", ["project-data", "project-metadata", "logs", "state"])
def test_a_folder_of_a_bundle_that_is_a_link_is_refused(packed_bundle, run_line, tmp_path, name):
    (packed_bundle / name).rename(tmp_path / "elsewhere")
    (packed_bundle / name).symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in run_line(IMPORT, exit_code=1).err
