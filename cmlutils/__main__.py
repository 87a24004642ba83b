"""`python -m cmlutils` is `cmlutil`."""

from cmlutils.cli.main import main

if __name__ == "__main__":
    main()
