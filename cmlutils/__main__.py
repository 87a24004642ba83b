"""What `cmlutil` and `python -m cmlutils` start."""

import signal


def main() -> None:
    """Run `cmlutil`; a Ctrl-C while its modules are still read ends it, without a traceback.

    It does so also where a script has started it in the background, with SIGINT ignored.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cmlutils.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
