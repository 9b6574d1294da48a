"""The pytest plugin: the ``faultline`` fixture, a simulated world for one test.

A test coroutine that asks for the fixture runs in that world, in virtual time, with or without pytest-asyncio. To
that end it is collected as an ordinary function that runs the coroutine itself, before pytest-asyncio sees it; all
other tests of the host suite are left alone. Nothing of faultline is imported before the fixture is used.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from faultline.session import Session

FIXTURE: Final = "faultline"
_SEED: Final = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--faultline-seed`` and the ini value ``faultline_seed``."""
    group = parser.getgroup("faultline")
    group.addoption("--faultline-seed", type=int, metavar="N", help="root seed of the simulated world (default: 0)")
    parser.addini("faultline_seed", "root seed of the simulated world", default="0")


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed once, before any test."""
    chosen = config.getoption("--faultline-seed")
    config.stash[_SEED] = int(config.getini("faultline_seed")) if chosen is None else int(chosen)


def pytest_report_header(config: pytest.Config) -> str | None:
    """The seed, when it is not the default one."""
    seed = config.stash[_SEED]
    return f"faultline: seed {seed}" if seed else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> Any:
    """Collect a coroutine that asks for the fixture as a function that runs it in the fixture's world."""
    if not inspect.iscoroutinefunction(obj) or not collector.istestfunction(obj, name):
        return None
    if FIXTURE not in inspect.signature(obj).parameters:
        return None

    @functools.wraps(obj)
    def in_the_world(*args: Any, **kwargs: Any) -> None:
        session: Session = kwargs[FIXTURE]
        session.run(lambda: obj(*args, **kwargs))

    # pytest looks the function up by name when it makes the item, so that is where the wrapper must stand.
    setattr(collector.obj, name, in_the_world)
    return list(collector._genfunctions(name, in_the_world))


@pytest.fixture(name=FIXTURE)
def _faultline(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A simulated world (:class:`faultline.Session`) in which this test runs, in virtual time."""
    from faultline.session import Session

    yield Session(seed=request.config.stash[_SEED])
