from __future__ import annotations

import datetime
import time

from faultline.worlds.sim.world import SimWorld


def test_the_wall_clock_of_the_client_jumps_and_nothing_else_does():
    world = SimWorld(0, time_limit_s=100.0)
    seen: list[tuple[float, float, float, float]] = []

    def look() -> None:
        now = datetime.datetime.now(datetime.UTC).timestamp()
        seen.append((time.time(), time.monotonic(), now, world.context().wall_s()))

    async def main() -> None:
        look()
        assert world.step_clock(3600.0)
        look()
        assert world.step_clock(-7200.0)
        look()

    world.run(main)

    assert [round(each[0] - seen[0][0]) for each in seen] == [0, 3600, -3600]
    assert [round(each[2] - seen[0][2]) for each in seen] == [0, 3600, -3600]
    assert [round(each[1] - seen[0][1]) for each in seen] == [0, 0, 0]
    assert [round(each[3] - seen[0][3]) for each in seen] == [0, 0, 0]
