"""The commands ``python -m conformance.…``: each module's docstring is its help."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Optional


def parser(module: str, help_text: Optional[str]) -> ArgumentParser:
    """What reads the arguments of a module that is run; unknown ones end in a line that says so, and code 2."""
    return ArgumentParser(
        prog=f"python -m {module}", description=help_text, formatter_class=RawDescriptionHelpFormatter
    )
