"""The commands ``python -m conformance.…``: each module's docstring is its help."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Callable, NoReturn, Optional


def parser(module: str, help_text: Optional[str]) -> ArgumentParser:
    """What reads the arguments of a module that is run; unknown ones end in a line that says so, and code 2."""
    return ArgumentParser(
        prog=f"python -m {module}", description=help_text, formatter_class=RawDescriptionHelpFormatter
    )


def run(main: Callable[[], int]) -> NoReturn:
    """End as ``main`` says, and without a word where nobody reads on, as ``head`` does not."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left when it ends
        code = 1
    sys.exit(code)
