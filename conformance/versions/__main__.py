"""Across versions.

::

    python -m conformance.versions keep RESULTS...   what the page needs of results files, into docs/versions/
    python -m conformance.versions page              docs/versions.md and docs/versions.html of what is there
    python -m conformance.versions upstream          docs/upstream/, the reports of what the newest version shows
    python -m conformance.versions check             0 if all these are what they would be, and explain every cell
    python -m conformance.versions diff A B          what changes from A to B: tf2.4, tf2.18-keras3.7, or results files

``page`` and ``check`` need Jinja2, of the extra ``report``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Set

from conformance.command import parser, run
from conformance.divergences import load_register
from conformance.fixtures import FixtureError
from conformance.promises import load_promises
from conformance.report.results import ResultsError
from conformance.versions.changes import changes, sentences, unexplained
from conformance.versions.page import html, markdown, page
from conformance.versions.summary import FOLDER, SUFFIX, Summary, keep, load, updated
from conformance.versions.upstream import reports


def main(arguments: Optional[Sequence[str]] = None) -> int:
    chosen = _options().parse_args(arguments)
    try:
        lines: List[str] = list(chosen.command(chosen))
    except (FixtureError, ImportError, OSError, ResultsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(*lines, sep="\n")  # noqa: T201
    return 1 if chosen.command is _check and lines != [RIGHT] else 0


def _options() -> argparse.ArgumentParser:
    options = parser("conformance.versions", __doc__)
    options.add_argument("--summaries", type=Path, default=FOLDER, metavar="FOLDER", help="[docs/versions]")
    commands = options.add_subparsers(required=True, metavar="COMMAND")
    keep_ = commands.add_parser("keep", help="what the page needs of results files")
    keep_.add_argument("results", type=Path, nargs="+")
    keep_.set_defaults(command=_keep)
    commands.add_parser("page", help="the page, as Markdown and HTML").set_defaults(command=_page)
    commands.add_parser("upstream", help="reports of what the newest version shows").set_defaults(command=_upstream)
    commands.add_parser("check", help="whether the page is what it would be").set_defaults(command=_check)
    diff = commands.add_parser("diff", help="what changes from one version to another")
    diff.add_argument("versions", nargs=2, metavar="VERSION")
    diff.set_defaults(command=_diff)
    return options


#: What ``check`` says when there is nothing to say.
RIGHT = "the page is what it would be, and explains every cell"


def _keep(chosen: argparse.Namespace) -> Iterator[str]:
    """Keep the summaries of results files; of those kept already, what these say anew."""
    for path in chosen.results:
        summary = load(path)
        kept = chosen.summaries / f"{summary.name}{SUFFIX}"
        known = load(kept) if kept.exists() else summary
        latest = updated(known, summary)
        if latest == known != summary:
            yield f"{kept} has more tests, and is left as it is; to keep fewer, or those of another version, remove it"
        else:
            yield f"{keep(latest, chosen.summaries)}: {latest.tests} tests of {latest.title}"


def _page(chosen: argparse.Namespace) -> Iterator[str]:
    return _written(_pages(chosen.summaries))


def _upstream(chosen: argparse.Namespace) -> Iterator[str]:
    made = _reports(chosen.summaries)
    for path in _reports_there(chosen.summaries) - set(made):
        path.unlink()
    return _written(made)


def _written(made: Dict[Path, str]) -> Iterator[str]:
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        yield str(path)


def _check(chosen: argparse.Namespace) -> Iterator[str]:
    commands = {"page": _pages(chosen.summaries), "upstream": _reports(chosen.summaries)}
    wrong = [
        f"{path} is not what `python -m conformance.versions {command}` makes of {chosen.summaries}"
        for command, made in commands.items()
        for path, text in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    wrong += [f"{path} is of no record" for path in _reports_there(chosen.summaries) - set(commands["upstream"])]
    register = load_register()
    wrong += (line for summary in _summaries(chosen.summaries) for line in unexplained(summary, register))
    yield from wrong or [RIGHT]


def _diff(chosen: argparse.Namespace) -> Iterator[str]:
    old, new = (_version(given, chosen.summaries) for given in chosen.versions)
    return sentences(changes(old, new, load_register(), load_promises()))


def _version(given: str, folder: Path) -> Summary:
    """A version by the name of its environment, or its results."""
    kept = folder / f"{given}{SUFFIX}"
    return load(kept if kept.exists() else Path(given))


def _pages(folder: Path) -> Dict[Path, str]:
    """The pages, beside the folder that they are made of."""
    shown = page(_summaries(folder), load_register(), load_promises())
    return {
        folder.with_suffix(".md"): "\n".join(markdown(shown)),
        folder.with_suffix(".html"): html(shown),
    }


def _reports(folder: Path) -> Dict[Path, str]:
    """The reports, in a folder beside that which they are made of."""
    made = reports(_summaries(folder), load_register())
    return {folder.parent / "upstream" / name: "\n".join(lines) for name, lines in made.items()}


def _reports_there(folder: Path) -> Set[Path]:
    return set((folder.parent / "upstream").glob("*.md"))


def _summaries(folder: Path) -> List[Summary]:
    return [load(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]


if __name__ == "__main__":
    run(main)
