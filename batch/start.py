"""What the scripts start: a Ctrl-C while modules are still read ends a batch, without a traceback."""

import signal
import sys
from typing import NoReturn


def script(verb: str, batch_size: int) -> NoReturn:
    """Run a script's own command line; end with its exit code, also where SIGINT came ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        import run
    except ImportError as error:
        if not (error.name or "").startswith("cmlutils"):
            raise
        sys.exit(
            "cmlutils is not installed for this Python: activate its environment, or run the script with that one's "
            "Python."
        )
    run.script(verb, batch_size)
