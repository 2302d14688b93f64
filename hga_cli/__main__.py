"""``python -m hga_cli`` is ``hga``."""

from hga_cli.cli.app import main

if __name__ == "__main__":
    main()
