"""Starts the batch scripts: a Ctrl-C while modules are still being imported ends them without a traceback."""

import signal
import sys
from typing import NoReturn


def script(verb: str, batch_size: int) -> NoReturn:
    """Run a script's own command line and exit with its code. SIGINT works even if it was ignored at the start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        import run
    except ImportError as error:
        if not (error.name or "").startswith("cmlutils"):
            raise
        sys.exit(
            "cmlutils is not installed for this Python, or is of another version than this script. Activate its "
            "environment, or run the script with that one's Python; take package and batch/ from the same checkout."
        )
    run.script(verb, batch_size)
