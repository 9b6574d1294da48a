"""Cases and records made by hand, as the tests of campaigns use them."""

from tests.campaign.conftest import case, record

__all__ = ["case", "record"]
