"""The command `cmlutil`: the one place that turns errors into words and exit codes."""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING

import click

from cmlutils import __version__
from cmlutils import log as logs
from cmlutils.cli.commands import Commands
from cmlutils.cli.completion import completion
from cmlutils.cli.demo import demo
from cmlutils.cli.doctor import doctor
from cmlutils.cli.emulator import emulator
from cmlutils.cli.helpers import helpers
from cmlutils.cli.init import init
from cmlutils.cli.output import end_streams, usable_streams
from cmlutils.cli.project import project
from cmlutils.cli.render import show_error
from cmlutils.cli.signals import signals
from cmlutils.errors import CmlutilError, ExitCode, Interrupted, failure_of_this_machine

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("cmlutils.cli")
# A listing consists of hundreds of thousands of objects, none of them garbage. By default, Python's collector would
# scan them so often that this takes longer than creating them.
GC_THRESHOLD = (200_000, 50, 50)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="cmlutil")
def cli() -> None:
    """Move projects from a CDSW or CML workspace to a CML workspace.

    \b
    Example:
      cmlutil project export -p "Churn Model"
      cmlutil project import -p "Churn Model" --verify
    """


cli.add_command(init)
cli.add_command(project)
cli.add_command(helpers)
cli.add_command(doctor)
cli.add_command(emulator)
cli.add_command(demo)
cli.add_command(completion)


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code. No other place catches broadly."""
    mask = os.umask(0o077)
    logs.to_terminal()
    try:
        with signals():
            return _translate(argv)
    except Interrupted as error:
        log.error("Ended by signal %d. Run the same command again to continue.", error.signum)
        return 128 + error.signum
    except Exception as error:  # noqa: BLE001 - the boundary
        return _unforeseen(error)
    finally:
        logs.close()
        os.umask(mask)


def _translate(argv: Sequence[str]) -> int:
    """Run the command, and turn an expected failure into words and an exit code."""
    try:
        result = cli.main(args=list(argv), prog_name="cmlutil", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        if "--json" in argv:
            show_error(ExitCode.USAGE, error.format_message())
        return ExitCode.USAGE
    except CmlutilError as error:
        tell(error)
        return error.exit_code
    return int(result or 0)


def _unforeseen(error: Exception) -> int:
    failure = failure_of_this_machine(error)
    if failure:
        tell(failure)
        return failure.exit_code
    log.debug("%s", traceback.format_exc())
    log.error("This is a bug in cmlutil: %s: %s. The log has the details.", type(error).__name__, error)
    return ExitCode.BUG


def tell(error: CmlutilError) -> None:
    """Say in one sentence what went wrong, and what to do."""
    log.error("%s", "\n  ".join(filter(None, (error.message, error.hint))))


def main() -> None:
    """Run the process's own command line."""
    gc.set_threshold(*GC_THRESHOLD)
    usable_streams()
    code = end_streams(run(sys.argv[1:]))
    # Python would wait for threads that wait for answers, and a signal would end it meanwhile with another code.
    os._exit(code)
