"""What `cmlutil` and `python -m cmlutils` start."""

import signal
import sys

COMMAND = (
    sys.executable,
    "-c",
    "import sys; sys.path[:1] = filter(None, sys.path[:1]); from cmlutils.__main__ import main; main()",
)
"""What runs `cmlutil` with this Python. With `-m`, files of the current folder would pass for modules."""


def main() -> None:
    """Run `cmlutil`. A Ctrl-C while its modules are still being imported ends it without a traceback.

    This holds even where a script started it in the background, which makes SIGINT ignored.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cmlutils.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
