from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from faultline.faults import MalformedBody
from faultline.faults.actions import Action, Replace
from faultline.faults.points import Moment

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]


def payload(decide: Decide, fault: MalformedBody, here: Moment) -> bytes:
    [(action,)] = decide(fault, here)
    assert isinstance(action, Replace)
    return action.payload


@pytest.mark.parametrize("form", ["truncated", "html", "empty"])
def test_no_parser_reads_it(form: str, moment: Make, decide: Decide) -> None:
    body = payload(decide, MalformedBody(form=form), moment(phase="after"))  # type: ignore[arg-type]
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_a_wrong_type_is_json_but_neither_object_nor_list(moment: Make, decide: Decide) -> None:
    assert isinstance(json.loads(payload(decide, MalformedBody(form="wrong_type"), moment(phase="after"))), str)


def test_the_form_is_drawn_for_each_response_when_not_given(moment: Make, decide: Decide) -> None:
    here = [moment(entity=f"I{n}", phase="after") for n in range(100)]
    assert len(set(decide(MalformedBody(), *here))) == 4
