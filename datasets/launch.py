"""`python -m datasets.launch MODULE ...`: a command's imports take seconds, and Ctrl-C is one line there too."""

import sys
from importlib import import_module

from datasets.console import run_command


def main() -> None:
    """Import MODULE and call its main() with the arguments that follow."""
    module = sys.argv.pop(1)
    import_module(module).main()


if __name__ == "__main__":
    run_command(main)
