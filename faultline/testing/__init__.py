"""Conformance kits: what our own faults, oracles, venues, worlds and reports are held to, for anybody's.

Call one in a test of your own package; it raises :class:`NonConforming` with everything that is broken::

    from faultline.testing import check_fault

    def test_my_fault_conforms():
        check_fault(SolarFlare)
"""

from faultline.testing.conformance import NonConforming
from faultline.testing.faults import check_fault
from faultline.testing.oracles import check_oracle
from faultline.testing.reports import a_campaign, check_report
from faultline.testing.venues import check_venue
from faultline.testing.worlds import check_world

__all__ = [
    "NonConforming",
    "a_campaign",
    "check_fault",
    "check_oracle",
    "check_report",
    "check_venue",
    "check_world",
]
