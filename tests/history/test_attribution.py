"""Orders that close: whose they are is told by how their keys begin."""

from __future__ import annotations

from faultline.history.attribution import Attribution, Identity
from faultline.history.contract import ClientPolicy
from faultline.history.event import Intent


def test_the_orders_of_a_flatten_each_have_a_key_that_begins_with_it() -> None:
    attribution = Attribution(ClientPolicy())
    for intent in (
        Intent(t=0.0, id="I1", op="place", symbol="NQ", side="buy", quantity="4", price="100"),
        Intent(t=1.0, id="Flatten", op="flatten"),
        Intent(t=2.0, id="Flatten2", op="flatten"),
        Intent(t=3.0, id="Kill", op="kill"),
    ):
        attribution.announce(intent)
    tied = {
        key: attribution.intent_of(Identity(key=key, op="place"))
        for key in ("Flatten", "Flattenx1", "Flatten2x1", "Killx7x1", "I1x1", "xFlatten")
    }
    assert tied == {
        "Flatten": ("Flatten", "key"),
        "Flattenx1": ("Flatten", "key"),
        "Flatten2x1": ("Flatten2", "key"),
        "Killx7x1": ("Kill", "key"),
        "I1x1": (None, ""),
        "xFlatten": (None, ""),
    }
    attribution.tie_order("order1", Identity(key="Flattenx2", op="place"))
    assert attribution.intent_of(Identity(order="order1", op="")) == ("Flatten", "order")
