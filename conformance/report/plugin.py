"""What pytest writes of a run besides its own reports: options and hooks, which ``conftest.py`` brings in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Dict, Generator, Iterable, Optional

import pytest
from pytest_reportlog.plugin import ReportLogPlugin

from conformance import __version__
from conformance.discrimination import cases
from conformance.divergences import GRADIENTS, SECOND_ORDER, TRAINING
from conformance.judge import DIVERGES
from conformance.report import html, markdown, results
from conformance.report.stash import EVIDENCE, SUBJECT
from conformance.report.terminal import summarize

#: The tests that ask more of a case than its outputs, by file and name.
ASKED_BY = {
    ("test_gradients", "test_gradients"): GRADIENTS,
    ("test_gradients", "test_gradients_in_bfloat16"): GRADIENTS,
    ("test_gradients", "test_wide"): GRADIENTS,
    ("test_second_order", "test_second_order"): SECOND_ORDER,
    ("test_training", "test_fit"): TRAINING,
}

#: The phase in which xdist lets a test be that did not come to its end.
CRASHED = "???"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance reports", "what is written of a run")
    group.addoption("--conformance-report", metavar="FILE", help="write the run as an HTML page")
    group.addoption("--summary-md", metavar="FILE", help="write verdicts, causes and failing tests as Markdown")
    group.addoption("--resume", action="store_true", help="run nothing where --report-log is a complete run already")
    group.addoption(
        "--reproductions",
        metavar="FOLDER",
        help="write a program for each failing case there, except for training, second-order gradients and conversions",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--resume") and not hasattr(config, "workerinput"):
        _end_if_complete(config)
    for option in ("--summary-md", "--conformance-report"):
        file = config.getoption(option)
        if file and Path(file).is_dir():
            raise pytest.UsageError(f"{option} {file}: is a folder")
    folder = config.getoption("--reproductions")
    if folder and Path(folder).exists() and not Path(folder).is_dir():
        raise pytest.UsageError(f"--reproductions {folder}: is not a folder")
    if config.getoption("--conformance-report") and not hasattr(config, "workerinput"):
        missing = html.missing()
        if missing:
            raise pytest.UsageError(f"--conformance-report: {missing}")
        if not config.option.report_log:  # the page is made of a results file
            folder = tempfile.TemporaryDirectory(prefix="conformance-")
            config.add_cleanup(folder.cleanup)
            config.option.report_log = str(Path(folder.name) / "results.jsonl")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    told = config.stash[SUBJECT].environment, __version__, config.getoption("--tier"), _chosen(config)
    _log(config, results.header(*told))


def _chosen(config: pytest.Config) -> str:
    """What a run has of the tests of its tier."""
    option = config.option
    if option.keyword or option.markexpr or option.deselect or getattr(option, "lf", False) or "::" in str(config.args):
        return results.SOME
    return results.FILES if ".py" in str(config.args) else results.ALL


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    _log(session.config, results.footer(exitstatus, session.testscollected))


@pytest.hookimpl(tryfirst=True)
def pytest_report_to_serializable(report: object) -> Optional[Dict[str, object]]:
    return dict(report.data) if isinstance(report, results.Line) else None


def _end_if_complete(config: pytest.Config) -> None:
    """End with what the results file says of the run, if it came to its end; a file that is none is written anew."""
    if not config.option.report_log:
        raise pytest.UsageError("--resume: needs the results file to resume from, --report-log")
    file = Path(config.option.report_log)
    try:
        done = results.read(file)
    except results.ResultsError:
        return
    if done.complete and done.header["tier"] == config.getoption("--tier"):
        said = "\n".join(results.describe(done))
        pytest.exit(f"{file} is complete; delete it to run this again\n{said}", returncode=0 if done.green else 1)


def _log(config: pytest.Config, line: results.Line) -> None:
    """Add a line to the results file, where one is written."""
    for plugin in config.pluginmanager.get_plugins():
        if isinstance(plugin, ReportLogPlugin):
            plugin.pytest_collectreport(line)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Let a failing case be summed up by what is wrong with it, in the short summary and as JUnit's message."""
    report = (yield).get_result()
    crash = getattr(report.longrepr, "reprcrash", None)
    message = dict(report.user_properties).get("message")
    if crash and message:
        crash.message = message
    if report.when == "call":
        report.evidence = item.stash.get(EVIDENCE, None)


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: Any) -> None:
    """A case that takes xdist's worker with it, by a crash or by hanging, is a case that fails."""
    file, _, test = crashitem.partition("::")
    name, _, case_id = test[:-1].partition("[")
    question = ASKED_BY.get((Path(file).stem, name), "")
    if question or case_id in {case.id for case in cases(sched.config.getoption("--tier"))}:
        case_id = f"{question} of {case_id}" if question else case_id
        message = f"{DIVERGES}: crashed while running"
        told = {"case": case_id, "verdict": DIVERGES, "ratio": 0.0, "message": message}
        report.user_properties.extend(told.items())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    calls = [dict(report.user_properties) for report in reports if getattr(report, "when", None) in ("call", CRASHED)]
    for line in summarize(calls):
        terminalreporter.write_line(line)
    if config.getoption("--summary-md"):
        failed = [*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")]
        said = [(report.nodeid, _said(report)) for report in failed]
        cases = [properties for properties in calls if "verdict" in properties]
        _write(config.getoption("--summary-md"), markdown.render(config.stash[SUBJECT].environment, cases, said))
    if config.getoption("--conformance-report"):
        terminalreporter.write_line(f"report: {_page(config)}")


def _page(config: pytest.Config) -> str:
    """Write the page of a run; the file, or why there is none: the rest of what pytest has to say must not suffer."""
    file = str(config.getoption("--conformance-report"))
    try:
        _write(file, [html.render(results.read(Path(config.option.report_log)))])
    except Exception as error:
        return f"{file} could not be written: {error!r}"
    return file


def _write(file: str, lines: Iterable[str]) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def _said(report: pytest.TestReport) -> str:
    """What a failing test says, in a line."""
    message = dict(getattr(report, "user_properties", ())).get("message")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(message or (crash and crash.message) or report.longreprtext.strip() or " ").splitlines()[0]
