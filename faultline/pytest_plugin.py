"""The pytest plugin: the ``faultline`` fixture, a simulated world for one test.

A test coroutine that asks for the fixture runs in that world, in virtual time, with or without pytest-asyncio. To
that end it is collected as an ordinary function that runs the coroutine itself, before pytest-asyncio sees it; all
other tests of the host suite are left alone. Nothing of faultline is imported before the fixture is used.

Async fixtures do not run in the world: they belong to pytest-asyncio's loop. What a test needs of the world it makes
in its own body.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from faultline.session import Session

FIXTURE: Final = "faultline"
_SEED: Final = pytest.StashKey[int]()
_IN_THE_WORLD: Final = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--faultline-seed`` and the ini value ``faultline_seed``."""
    group = parser.getgroup("faultline")
    group.addoption("--faultline-seed", type=int, metavar="N", help="root seed of the simulated world (default: 0)")
    parser.addini("faultline_seed", "root seed of the simulated world", default="0")


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed once, before any test. Raises UsageError for an ini value that is no whole number."""
    chosen = config.getoption("--faultline-seed")
    if chosen is None:
        written = config.getini("faultline_seed")
        try:
            chosen = int(written)
        except ValueError as error:
            raise pytest.UsageError(f"faultline_seed is {written!r}; it is a whole number such as 7") from error
    config.stash[_SEED] = chosen


def pytest_report_header(config: pytest.Config) -> str | None:
    """The seed, when it is not the default one."""
    seed = config.stash[_SEED]
    return f"faultline: seed {seed}" if seed else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> Any:
    """Collect a coroutine that asks for the fixture as a function that runs it in the fixture's world."""
    kind = type(obj) if isinstance(obj, staticmethod | classmethod) else None
    function: Any = obj.__func__ if isinstance(obj, staticmethod | classmethod) else obj
    if not inspect.iscoroutinefunction(function) or not collector.istestfunction(obj, name):
        return None
    if FIXTURE not in inspect.signature(function).parameters:
        return None
    wrapped = _in_the_world(function)
    # pytest looks the function up by name when it makes the item, so that is where the wrapper must stand.
    setattr(collector.obj, name, wrapped if kind is None else kind(wrapped))
    items = list(collector._genfunctions(name, getattr(collector.obj, name)))
    for item in items:
        item.stash[_IN_THE_WORLD] = True
    return items


def _in_the_world(test: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(test)
    def in_the_world(*args: Any, **kwargs: Any) -> None:
        session: Session = kwargs[FIXTURE]
        session.run(lambda: test(*args, **kwargs))

    return in_the_world


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Hide a mark of pytest-asyncio while the test runs: the item is none of its own, and it would warn."""
    if not item.stash.get(_IN_THE_WORLD, False):
        return (yield)
    marks = item.iter_markers_with_node

    def others(name: str | None = None) -> Iterator[tuple[Any, pytest.Mark]]:
        return (pair for pair in marks(name) if pair[1].name != "asyncio")

    item.iter_markers_with_node = others  # type: ignore[method-assign]
    try:
        return (yield)
    finally:
        del item.iter_markers_with_node


@pytest.fixture(name=FIXTURE)
def _faultline(request: pytest.FixtureRequest) -> Session:
    """A simulated world (:class:`faultline.Session`) in which this test runs, in virtual time."""
    from faultline.session import Session

    return Session(seed=request.config.stash[_SEED])
