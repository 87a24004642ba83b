"""What `cmlutil` and `python -m cmlutils` start."""

import signal


def main() -> None:
    """Run `cmlutil`. A Ctrl-C while its modules are still being imported ends it without a traceback.

    This holds even where a script started it in the background, which makes SIGINT ignored.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cmlutils.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
