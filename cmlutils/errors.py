"""Every failure we expect, with its hint and the exit code it ends in."""

from __future__ import annotations

import errno
from enum import IntEnum

DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EIO}  # the disk is full or broken: no setting is to blame
_OPENED = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP}


class ExitCode(IntEnum):
    """What `cmlutil` tells the shell; 128+N stands for an end by signal N."""

    OK = 0  # all done and, where asked, verified
    FAILED = 1  # something that should work did not
    USAGE = 2  # usage or configuration; nothing was touched
    BUG = 3  # a defect of cmlutil; the traceback is in the log
    DIFFERENCES = 4  # the comparison found differences
    NEEDS_HAND = 5  # finished, but some workload or file needs a person


class CmlutilError(Exception):
    """An expected failure: one sentence, and a hint on what to do about it. A missing full stop is added."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message if message.endswith((".", "!", "?", "…")) else f"{message}."
        self.hint = hint
        super().__init__(self.message)


class ConfigError(CmlutilError):
    """The configuration or the command line can't be used; nothing was touched."""

    exit_code = ExitCode.USAGE


class ApiError(CmlutilError):
    """A workspace answered in a way that we can't use."""


class Rejected(ApiError):
    """A workspace refused a request; `status` is the HTTP status code."""

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class NotFound(Rejected):
    """What was asked for is not there (404)."""


class Unauthorized(Rejected):
    """The key or the permission is not enough (401, 403)."""


class AnswerLost(ApiError):
    """A request was sent and no usable answer came back; it may or may not have had its effect."""


class Unreachable(CmlutilError):
    """The workspace can't be reached, or was away for longer than --patience: further calls would fail, too."""

    WORDS = NEVER, NO_LONGER = "can't be reached", "did not come back"

    @classmethod
    def told_in(cls, output: str) -> bool:
        """Tell whether a run that printed this output ended because a workspace was away."""
        errors = [line for line in output.splitlines() if line.startswith("error: ")]
        return any(f" {words}" in line for line in errors for words in cls.WORDS)


class CommandError(CmlutilError):
    """A program that we ran is missing or failed."""


class TunnelError(CmlutilError):
    """The session or the ssh connection to it can't be opened or kept."""


class TransferError(CmlutilError):
    """Files can't be listed or copied."""


class BundleError(CmlutilError):
    """An exported project on disk can't be read, written or locked."""


class CheckFailed(CmlutilError):
    """A precondition does not hold."""


class Interrupted(BaseException):
    """Signal `signum` asked us to end. It is no Exception, so that no handler of failures swallows it."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"ended by signal {signum}")
        self.signum = signum


def failure_of_this_machine(error: BaseException | None) -> CmlutilError | None:
    """Return an expected failure for an error that this machine is to blame for: a full disk, an unreadable path.

    Returns None for any other error.
    """
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        text = "This machine lets this user start no more threads or processes."
        return CmlutilError(text, hint="End some, or raise the limit: see 'ulimit -u'.")
    if not isinstance(error, OSError):
        return None
    if isinstance(error, FileNotFoundError) and error.filename is None:  # os.getcwd and the like raise this
        text = "The current folder no longer exists, so a relative path leads nowhere."
        return ConfigError(text, hint="Change to a folder that exists.")
    if error.errno in {*DISK_TROUBLE, errno.EROFS}:
        return CmlutilError(f"{error.filename or 'A file'} can't be written: {error.strerror}.")
    if error.errno in _OPENED and error.filename:
        what = f"{error.filename} can't be read or written: {error.strerror}."
        return CmlutilError(what, hint="Look at its permissions, and at those of the folders above it.")
    return None
