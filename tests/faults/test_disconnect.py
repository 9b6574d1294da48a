from __future__ import annotations

import pytest

from faultline.faults import Disconnect
from faultline.faults.actions import Cut
from faultline.faults.deciders import Rules
from faultline.faults.points import Plane


def test_by_the_clock_it_cuts_the_streams_it_names() -> None:
    fault = Disconnect(on="stream user", every_s=5, every_jitter_s=1, during_s=(10, 40))
    [ticks] = Rules([fault], 0).ticks(None, 0.0)
    listed = list(ticks)
    assert len(listed) == 5 or len(listed) == 6
    assert all(10 <= tick.at_s < 40 for tick in listed)
    assert {(tick.point.plane, tick.point.endpoint, tick.point.phase) for tick in listed} == {
        (Plane.MESSAGE, "stream user", "tick")
    }
    assert [tick.point.nth for tick in listed] == list(range(1, len(listed) + 1))


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
def test_an_abrupt_end_has_no_close_code_of_its_own(how: str) -> None:
    fault = Disconnect(how=how, at_s=1)  # type: ignore[arg-type]
    [ticks] = Rules([fault], 0).ticks(None, 0.0)
    assert next(ticks).action == Cut(how=how, code=1006)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [999, 5000])
def test_a_code_that_web_sockets_do_not_know_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match="between 1000 and 4999"):
        Disconnect(code=code)
