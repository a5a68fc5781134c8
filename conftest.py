"""Options, header and fixtures of the suite; what they do is in ``conformance``."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from threadpoolctl import threadpool_limits

from conformance.case import Case
from conformance.covering import TIERS, frozen_ids
from conformance.divergences import Divergence, load_register
from conformance.documented import Figures, load_documents
from conformance.fixtures import FixtureError
from conformance.judge import AGAINST_THE_RECORD, DIVERGES, KNOWN, UNSUPPORTED, Judgement, judge, on_record_raised
from conformance.kept import kept_cases
from conformance.report import reproduction
from conformance.report.evidence import evidence
from conformance.report.stash import EVIDENCE, SUBJECT
from conformance.report.terminal import headline, render, rerun_command
from conformance.subject import FLAVOURS, Subject, SubjectError, load

DEFAULT_KERAS = next(iter(FLAVOURS))
DEFAULT_TIER = "default"
pytest_plugins = ["conformance.report.plugin"]
#: How many models of the option space, of each topology, are kept in each kind of file and read again.
KEPT: Dict[str, Optional[int]] = {"smoke": 1, "default": 2, "full": None}
REGISTER = pytest.StashKey[Tuple[Divergence, ...]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "the Keras to judge")
    group.addoption("--keras", default=DEFAULT_KERAS, metavar="NAME", help=f"{', '.join(FLAVOURS)} [{DEFAULT_KERAS}]")
    group.addoption(
        "--tier", default=DEFAULT_TIER, choices=TIERS, help=f"how many cases: {', '.join(TIERS)} [{DEFAULT_TIER}]"
    )
    group.addoption("--lstm", metavar="PACKAGE.MODULE:CLASS", help="a layer class to judge in place of Keras's LSTM")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        # Ends a worker that hangs, wherever it does; xdist then reports the test and goes on with another worker.
        config.option.timeout_method = "thread"
    # The reference multiplies small matrices, where a second BLAS thread only spins. TensorFlow has no such BLAS.
    threadpool_limits(limits=1, user_api="blas")
    try:
        load_documents()  # a fixture that does not parse is bad use, said before anything is collected
        register = load_register()
        config.stash[SUBJECT] = subject = load(
            config.getoption("--keras"), config.getoption("--lstm"), _processes(config)
        )
        config.stash[REGISTER] = tuple(record for record in register if record.concerns(subject.versions))
    except (FixtureError, SubjectError) as error:
        raise pytest.UsageError(str(error)) from error
    # Collecting garbage need not look at the million objects that importing Keras leaves for good, nor as often: a
    # graph that is built is a hundred thousand objects that all stay.
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases of the option space that the tier asks for."""
    if "case_id" in metafunc.fixturenames:
        ids = frozen_ids(metafunc.config.getoption("--tier"))
        metafunc.parametrize("case_id", [pytest.param(case_id, id=case_id) for case_id in ids])
    if "kept_case" in metafunc.fixturenames:
        tier = metafunc.config.getoption("--tier")
        kept = kept_cases(frozen_ids(tier), KEPT[tier])
        ways = [pytest.param((way, case), id=f"{way}-{case_id}") for case_id, way, case in kept]
        metafunc.parametrize("kept_case", ways)


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """The smoke tier is cases of the option space, and what is marked for it."""
    if config.getoption("--tier") != "smoke":
        return
    smoke = [
        item
        for item in items
        if {"case_id", "kept_case"} & set(getattr(item, "fixturenames", ())) or item.get_closest_marker("smoke")
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in smoke])
    items[:] = smoke


def pytest_report_header(config: pytest.Config) -> List[str]:
    return config.stash[SUBJECT].environment.lines


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget the models of tests before. What is on record to end the process is not run: its program shows it."""
    item.config.stash[SUBJECT].forget()
    for record in item.config.stash[REGISTER]:
        if record.crashes and not item.config.getoption("--lstm") and record.covers_test(item.name):
            item.user_properties.append(("record", record.id))
            pytest.xfail(record.sentence)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Turn a failure that is on record into a known divergence; a test that passes against the record fails."""
    records = [record for record in item.config.stash[REGISTER] if record.covers_test(item.name)]
    outcome = yield
    if not records or (outcome.excinfo and issubclass(outcome.excinfo[0], pytest.skip.Exception)):
        return
    error = outcome.excinfo[1] if outcome.excinfo else None
    record, surprise = on_record_raised(records, error) if error else (records[0], AGAINST_THE_RECORD)
    if record is None or surprise:
        outcome.force_exception(_not_as_on_record(records[0], surprise, error))
    else:
        item.user_properties[:] = [*_of_known(item.user_properties), ("record", record.id)]
        outcome.force_exception(pytest.xfail.Exception(record.sentence))


def _not_as_on_record(record: Divergence, surprise: str, error: Optional[BaseException]) -> BaseException:
    """The failure of a test that departs otherwise than a record says, or not at all; it is shown where it departs."""
    said = f"; it said: {error}" if error else ""
    traced = getattr(error, "pytrace", error is not None)
    failure = pytest.fail.Exception(f"not as on record in {record.id}: {surprise}{said}", pytrace=traced)
    return failure.with_traceback(error.__traceback__) if error else failure


def _of_known(properties: List[Tuple[str, object]]) -> List[Tuple[str, object]]:
    """The properties of a test that failed as is on record; a training program, say, was found to diverge."""
    return [(name, KNOWN if name == "verdict" else value) for name, value in properties]


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
) -> Callable[..., None]:
    """Turn a verdict into pytest's: pass, fail with the report, xfail a known divergence, skip what is unsupported."""

    def hold(judgement: Judgement, document: str = "") -> None:
        record_property("case", judgement.name)
        record_property("verdict", judgement.verdict)
        record_property("ratio", min(judgement.ratio, sys.float_info.max))  # JSON has no infinity
        if document:
            record_property("document", document)
        if judgement.diagnosis:
            record_property("causes", " ".join(map("+".join, judgement.diagnosis.explanations)))
        fails = judgement.verdict == DIVERGES
        reproducible = fails and judgement.reproducible
        script = reproduction.reproduction(judgement.case, subject, judgement.question) if reproducible else ""
        if fails or document:
            request.node.stash[EVIDENCE] = evidence(judgement, script)
        if judgement.verdict == UNSUPPORTED:
            pytest.skip(judgement.unsupported)
        if judgement.verdict == KNOWN and judgement.record:
            record_property("record", judgement.record.id)
            pytest.xfail(judgement.record.sentence)
        if fails:
            record_property("message", headline(judgement))
            folder = request.config.getoption("--reproductions")
            file = str(reproduction.write(Path(folder), judgement.name, script)) if folder and script else ""
            rerun = rerun_command(request.node.nodeid, _options(request.config))
            pytest.fail(render(judgement, rerun, file), pytrace=False)

    return hold


@pytest.fixture
def conforms(subject: Subject, register: Tuple[Divergence, ...], hold: Callable[..., None]) -> Callable[..., None]:
    """Hold the subject to a case, and to the figures a document prints of it."""

    def conforms(case: Case, figures: Optional[Figures] = None, document: str = "") -> None:
        hold(judge(case, subject, register, figures), document)

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
