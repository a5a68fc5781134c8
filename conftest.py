"""Options, header and fixtures of the suite; what they do is in ``conformance``."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from pytest_reportlog.plugin import ReportLogPlugin
from threadpoolctl import threadpool_limits

from conformance import __version__
from conformance.case import Case
from conformance.covering import TIERS, frozen_ids
from conformance.divergences import Divergence, load_register
from conformance.documented import Figures, load_documents
from conformance.fixtures import FixtureError
from conformance.judge import CONFORMS, KNOWN, UNSUPPORTED, Judgement, judge
from conformance.report import markdown, reproduction, results
from conformance.report.terminal import headline, render, rerun_command, summarize
from conformance.subject import FLAVOURS, Subject, SubjectError, load

DEFAULT_KERAS = next(iter(FLAVOURS))
DEFAULT_TIER = "default"
SUBJECT = pytest.StashKey[Subject]()
REGISTER = pytest.StashKey[Tuple[Divergence, ...]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "the Keras to judge")
    group.addoption("--keras", default=DEFAULT_KERAS, metavar="NAME", help=f"{', '.join(FLAVOURS)} [{DEFAULT_KERAS}]")
    group.addoption(
        "--tier", default=DEFAULT_TIER, choices=TIERS, help=f"how many cases: {', '.join(TIERS)} [{DEFAULT_TIER}]"
    )
    group.addoption("--reproductions", metavar="FOLDER", help="write a program for each failing case there")
    group.addoption("--summary-md", metavar="FILE", help="write verdicts, causes and failing tests as Markdown")
    group.addoption("--lstm", metavar="PACKAGE.MODULE:CLASS", help="a layer class to judge in place of Keras's LSTM")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        # Ends a worker that hangs, wherever it does; xdist then reports the test and goes on with another worker.
        config.option.timeout_method = "thread"
    # The reference multiplies small matrices, where a second BLAS thread only spins. TensorFlow has no such BLAS.
    threadpool_limits(limits=1, user_api="blas")
    summary, folder = config.getoption("--summary-md"), config.getoption("--reproductions")
    if summary and Path(summary).is_dir():
        raise pytest.UsageError(f"--summary-md {summary}: is a folder")
    if folder and Path(folder).exists() and not Path(folder).is_dir():
        raise pytest.UsageError(f"--reproductions {folder}: is not a folder")
    try:
        load_documents()  # a fixture that does not parse is bad use, said before anything is collected
        register = load_register()
        config.stash[SUBJECT] = subject = load(
            config.getoption("--keras"), config.getoption("--lstm"), _processes(config)
        )
        config.stash[REGISTER] = tuple(record for record in register if record.concerns(subject.versions))
    except (FixtureError, SubjectError) as error:
        raise pytest.UsageError(str(error)) from error
    gc.freeze()  # collecting garbage need not look at the million objects that importing Keras leaves for good


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases of the option space that the tier asks for."""
    if "case_id" in metafunc.fixturenames:
        ids = frozen_ids(metafunc.config.getoption("--tier"))
        metafunc.parametrize("case_id", [pytest.param(case_id, id=case_id) for case_id in ids])


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """The smoke tier is cases of the option space alone."""
    if config.getoption("--tier") != "smoke":
        return
    smoke = [item for item in items if "case_id" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in smoke])
    items[:] = smoke


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    _log(config, results.header(config.stash[SUBJECT].environment, __version__, config.getoption("--tier")))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    _log(session.config, results.footer(exitstatus, session.testscollected))


@pytest.hookimpl(tryfirst=True)
def pytest_report_to_serializable(report: object) -> Optional[Dict[str, object]]:
    return dict(report.data) if isinstance(report, results.Line) else None


def _log(config: pytest.Config, line: results.Line) -> None:
    """Add a line to the results file, where one is written."""
    for plugin in config.pluginmanager.get_plugins():
        if isinstance(plugin, ReportLogPlugin):
            plugin.pytest_collectreport(line)


def pytest_report_header(config: pytest.Config) -> List[str]:
    return config.stash[SUBJECT].environment.lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    calls = [dict(report.user_properties) for report in reports if getattr(report, "when", None) == "call"]
    for line in summarize(calls):
        terminalreporter.write_line(line)
    config = terminalreporter.config
    if config.getoption("--summary-md"):
        failed = [*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")]
        said = [(report.nodeid, _said(report)) for report in failed]
        cases = [properties for properties in calls if "verdict" in properties]
        lines = markdown.render(config.stash[SUBJECT].environment, cases, said)
        file = Path(config.getoption("--summary-md"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _said(report: pytest.TestReport) -> str:
    """What a failing test says, in a line."""
    message = dict(getattr(report, "user_properties", ())).get("message")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(message or (crash and crash.message) or report.longreprtext.strip() or " ").splitlines()[0]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Turn a failure that is on record into a known divergence; a test that passes against the record fails."""
    record = next((record for record in item.config.stash[REGISTER] if record.covers_test(item.name)), None)
    outcome = yield
    if record is None or (outcome.excinfo and issubclass(outcome.excinfo[0], pytest.skip.Exception)):
        return
    error = outcome.excinfo[1] if outcome.excinfo else None
    surprise = record.surprise_raised(error) if error else "conforms, against the record"
    if surprise:
        outcome.force_exception(pytest.fail.Exception(f"not as on record in {record.id}: {surprise}"))
    else:
        outcome.force_exception(pytest.xfail.Exception(f"known divergence {record.id}: {record.departs}"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let a failing case be summed up by what is wrong with it: in the short summary and as JUnit's message."""
    report = (yield).get_result()
    crash = getattr(report.longrepr, "reprcrash", None)
    message = dict(report.user_properties).get("message")
    if crash and message:
        crash.message = message


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config) -> Subject:
    """The Keras under judgement."""
    return pytestconfig.stash[SUBJECT]


@pytest.fixture(scope="session")
def register(pytestconfig: pytest.Config) -> Tuple[Divergence, ...]:
    """The known divergences of the Keras under judgement."""
    return pytestconfig.stash[REGISTER]


@pytest.fixture
def hold(
    request: pytest.FixtureRequest, subject: Subject, record_property: Callable[[str, object], None]
) -> Callable[[Judgement], None]:
    """Turn a verdict into pytest's: pass, fail with the report, xfail a known divergence, skip what is unsupported."""

    def hold(judgement: Judgement) -> None:
        record_property("case", judgement.case.id)
        record_property("verdict", judgement.verdict)
        record_property("ratio", min(judgement.ratio, sys.float_info.max))  # JSON has no infinity
        if judgement.diagnosis:
            record_property("causes", " ".join(map("+".join, judgement.diagnosis.explanations)))
        if judgement.verdict == UNSUPPORTED:
            pytest.skip(judgement.unsupported)
        if judgement.verdict == KNOWN and judgement.record:
            pytest.xfail(f"known divergence {judgement.record.id}: {judgement.record.departs}")
        if judgement.verdict != CONFORMS:
            record_property("message", headline(judgement))
            folder = request.config.getoption("--reproductions")
            shows = judgement.diagnosis or judgement.raised  # a training program's case is not the program
            script = str(reproduction.write(Path(folder), judgement.case, subject)) if folder and shows else ""
            rerun = rerun_command(request.node.nodeid, _options(request.config))
            pytest.fail(render(judgement, rerun, script), pytrace=False)

    return hold


@pytest.fixture
def conforms(
    subject: Subject, register: Tuple[Divergence, ...], hold: Callable[[Judgement], None]
) -> Callable[..., None]:
    """Hold the subject to a case, and to the figures a document prints of it."""

    def conforms(case: Case, figures: Optional[Figures] = None) -> None:
        hold(judge(case, subject, register, figures))

    return conforms


def _processes(config: pytest.Config) -> int:
    """How many processes run tests: xdist's workers, or this one."""
    workers = getattr(config, "workerinput", {}).get("workercount") or config.getoption("numprocesses", None)
    return workers or 1


def _options(config: pytest.Config) -> Tuple[str, ...]:
    """The options that chose the subject and the cases, as they must be repeated."""
    defaults = {"--keras": DEFAULT_KERAS, "--lstm": None, "--tier": DEFAULT_TIER}
    chosen = {name: config.getoption(name) for name in defaults}
    return tuple(f"{name} {value}" for name, value in chosen.items() if value != defaults[name])
