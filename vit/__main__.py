"""`python -m vit COMMAND` is `vit COMMAND`."""

from vit.cli.main import main

if __name__ == "__main__":
    main()
