"""The pytest plugin: worlds as fixtures, seeds and scenarios as parameters, scenario files as tests.

What there is:

* ``faultline`` and ``faultline_live``: a :class:`faultline.Session` for one test. A test coroutine that asks for one of
  them runs in that world, with or without pytest-asyncio. To that end it is collected as an ordinary function that runs
  the coroutine itself, before pytest-asyncio or anyio see it; all other tests of the host suite are left alone, and so
  is every hook for loops that it may have.
* ``@pytest.mark.faultline(seeds=..., world=..., scenario=...)``: the test once for each seed; or once for each scenario
  and target, which are run and judged before the test's own body.
* scenario files as test items, when ``faultline_scenarios`` says which.

Nothing of faultline is imported before one of these is used: the hooks here look at names and marks only, and all else
is in the other modules of this package. Async fixtures do not run in the world: they belong to pytest-asyncio's loop.
What a test needs of the world it makes in its own body.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from faultline.pytest_plugin.settings import RAN, SETTINGS, add_options, marked, settle

if TYPE_CHECKING:
    from faultline.campaign.model import CaseResult
    from faultline.session import Session

WORLDS: Final = {"faultline": None, "faultline_live": "live"}
"""The fixtures, and the world of each where that is not for the test to say."""

RESULT: Final = "faultline_result"
_IN_THE_WORLD: Final = pytest.StashKey[str]()
_SESSION: Final = pytest.StashKey["Session"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options ``--faultline-*`` and the ini values ``faultline_*``."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed and the other options once, before any test. Raises UsageError for values that cannot be."""
    settle(config)
    config.addinivalue_line(
        "markers",
        "faultline(seeds=N or [..], world=NAME, scenario=PATH or [..], target=FILE:Class): run once for each seed; or "
        "run and judge scenarios",
    )
    if not hasattr(config, "workerinput"):
        if config.stash[SETTINGS].report:
            from faultline.pytest_plugin.shown import asked

            asked(config.stash[SETTINGS].report)
        config.pluginmanager.register(_Watch(config), "faultline-watch")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: the seed is chosen once, here, and every worker is told."""
    node.workerinput["faultline_seed"] = node.config.stash[SETTINGS].seed


def pytest_report_header(config: pytest.Config) -> str | None:
    """The seed, when it is not the default one."""
    seed = config.stash[SETTINGS].seed
    return f"faultline: seed {seed}" if seed else None


# Collection


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> Any:
    """Collect a coroutine that asks for a world as a function that runs it there."""
    kind = type(obj) if isinstance(obj, staticmethod | classmethod) else None
    function: Any = obj.__func__ if isinstance(obj, staticmethod | classmethod) else obj
    if not inspect.iscoroutinefunction(function) or not collector.istestfunction(obj, name):
        return None
    asked = [fixture for fixture in WORLDS if fixture in inspect.signature(function).parameters]
    if not asked:
        return None
    if len(asked) > 1:
        raise collector.CollectError(f"{name} asks for {' and '.join(asked)}; a test runs in one world")
    wrapped = _in_the_world(function, asked[0])
    # pytest looks the function up by name when it makes the item, so that is where the wrapper must stand.
    setattr(collector.obj, name, wrapped if kind is None else kind(wrapped))
    items = list(collector._genfunctions(name, getattr(collector.obj, name)))
    for item in items:
        item.stash[_IN_THE_WORLD] = asked[0]
    return items


def _in_the_world(test: Callable[..., Any], fixture: str) -> Callable[..., None]:
    @functools.wraps(test)
    def in_the_world(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        session: Session = kwargs[fixture]
        session.run(lambda: test(*args, **kwargs))

    return in_the_world


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Scenario files, where ``faultline_scenarios`` or the command line ask for them."""
    settings = parent.config.stash[SETTINGS]
    if not settings.asks_for(file_path):
        return None
    from faultline.pytest_plugin.scenarios import ScenarioFile

    found: pytest.Collector = ScenarioFile.from_parent(parent, path=file_path)
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Seeds for tests that ask for a world, scenarios for those that are marked with some."""
    mark = marked(metafunc.definition)
    settings = metafunc.config.stash[SETTINGS]
    if mark.scenarios:
        from faultline.pytest_plugin.scenarios import cases_of, name_of

        cases = cases_of(mark, settings, metafunc.definition)
        if RESULT not in metafunc.fixturenames:
            metafunc.fixturenames.append(RESULT)
        metafunc.parametrize(RESULT, cases, indirect=True, ids=[name_of(case) for case in cases])
        return
    seeds = settings.seeds_for(mark)
    for fixture in WORLDS:
        if fixture in metafunc.fixturenames and len(seeds) > 1:
            metafunc.parametrize(fixture, seeds, indirect=True, ids=[f"seed{seed}" for seed in seeds])


# Running


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Run the scenario that a test is marked with, also where the test does not look at the result."""
    if isinstance(item, pytest.Function) and RESULT in getattr(getattr(item, "callspec", None), "params", {}):
        item._request.getfixturevalue(RESULT)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Judge the scenario that a test is marked with before its own body; hide other plugins' marks from a test that
    runs in a world: it is none of theirs, and they would warn."""
    result = item.stash.get(RAN, None)
    if result is not None:
        from faultline.pytest_plugin.scenarios import judge

        judge(result)
    if _IN_THE_WORLD not in item.stash:
        return (yield)
    marks = item.iter_markers_with_node

    def others(name: str | None = None) -> Iterator[tuple[Any, pytest.Mark]]:
        return (pair for pair in marks(name) if pair[1].name != "asyncio")

    item.iter_markers_with_node = others  # type: ignore[method-assign]
    try:
        return (yield)
    finally:
        del item.iter_markers_with_node


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """An explanation in place of a traceback, and what was kept of the run."""
    report = yield
    session, result = item.stash.get(_SESSION, None), item.stash.get(RAN, None)
    error = None if call.excinfo is None else call.excinfo.value
    ours = type(error).__module__ in ("faultline.checked", "faultline.pytest_plugin.scenarios")
    if report.when == "call" and (session is not None or result is not None or ours):
        from faultline.pytest_plugin.shown import complete

        complete(report, item, error, session, result)
    return report


def _session(request: pytest.FixtureRequest, world: str | None) -> Session:
    from faultline.session import Session

    settings, mark = request.config.stash[SETTINGS], marked(request.node)
    seeds = settings.seeds_for(mark)
    world = world or mark.world or settings.world or "sim"
    session = Session(getattr(request, "param", seeds[0]), world=world)
    request.node.stash[_SESSION] = session
    return session


@pytest.fixture(name="faultline")
def _faultline(request: pytest.FixtureRequest) -> Session:
    """A simulated world (:class:`faultline.Session`) in which this test runs, in virtual time."""
    return _session(request, None)


@pytest.fixture(name="faultline_live")
def _faultline_live(request: pytest.FixtureRequest) -> Session:
    """A live world (:class:`faultline.Session`) in which this test runs: real sockets on loopback, real time."""
    return _session(request, "live")


@pytest.fixture(name=RESULT)
def _faultline_result(request: pytest.FixtureRequest) -> CaseResult:
    """What came of the scenario that this test is marked with (:class:`faultline.campaign.model.CaseResult`)."""
    if not hasattr(request, "param"):
        raise pytest.UsageError(f"{RESULT} is for tests with @pytest.mark.faultline(scenario='path/to/file.yaml')")
    from faultline.pytest_plugin.scenarios import conducted

    result = request.node.stash[RAN] = conducted(request.param, request.config)
    return result


class _Watch:
    """Hears of every test, also of those that ran in other processes: what only all of them together can say."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._sometimes: dict[str, bool] = {}
        self._results: list[str] = []
        self._never: list[str] = []
        self._unwritten = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what :func:`~faultline.pytest_plugin.shown.complete` has put into a report."""
        for what, held in getattr(report, "faultline_sometimes", {}).items():
            self._sometimes[what] = self._sometimes.get(what, False) or held
        if result := getattr(report, "faultline_result", ""):
            self._results.append(result)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report; no success where something that must hold sometimes never did."""
        self._never = [what for what, held in self._sometimes.items() if not held]
        if self._never and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        report = self._config.stash[SETTINGS].report
        if report:
            from faultline.pytest_plugin.shown import write

            self._unwritten = write(report, self._results)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What was never seen to hold, and a report that is not there."""
        if self._unwritten:
            terminalreporter.line(f"faultline: {self._unwritten}", red=True)
        if self._never:
            terminalreporter.section("faultline: inconclusive", yellow=True)
            for what in self._never:
                terminalreporter.line(
                    f"{what}: it never held in any of these tests, so they do not show what they are for"
                )
