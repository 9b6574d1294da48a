from __future__ import annotations

from faultline.history import Aliases
from faultline.venues.auth import UNKNOWN, Auth


class Heard:
    def __init__(self, ttl_s: float = 10.0) -> None:
        self.issued: list[tuple[str, float]] = []
        self.ended: list[str] = []
        self.count = 0
        self.auth = Auth(
            ttl_s,
            self.new_id,
            Aliases(),
            on_issued=lambda alias, until_s: self.issued.append((alias, until_s)),
            on_ended=self.ended.append,
        )

    def new_id(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"


def test_a_token_is_valid_until_its_time_is_over() -> None:
    auth = Heard().auth
    token = auth.issue(5.0).access_token
    assert auth.valid(5.0, token)
    assert auth.valid(14.999, token)
    assert not auth.valid(15.0, token)
    assert not auth.valid(5.0, "access-made-up")
    assert not auth.valid(5.0, "")


def test_a_refresh_token_works_once() -> None:
    auth = Heard().auth
    first = auth.issue(0.0)
    second = auth.refresh(1.0, first.refresh_token)
    assert second is not None
    assert auth.refresh(1.0, first.refresh_token) is None
    assert auth.refresh(2.0, second.refresh_token) is not None
    assert auth.valid(1.0, first.access_token)
    assert auth.issued == 3


def test_an_access_token_refreshes_nothing_and_the_other_way_round() -> None:
    auth = Heard().auth
    grant = auth.issue(0.0)
    assert auth.refresh(0.0, grant.access_token) is None
    assert not auth.valid(0.0, grant.refresh_token)


def test_expiring_all_ends_what_was_issued_so_far_and_says_so_once() -> None:
    heard = Heard()
    over, live = heard.auth.issue(0.0), heard.auth.issue(8.0)
    assert heard.auth.expire_all(12.0, refresh_too=False) == 1
    assert heard.ended == ["<token#2>"]
    assert not heard.auth.valid(12.0, live.access_token)
    assert heard.auth.expire_all(12.0, refresh_too=False) == 0
    fresh = heard.auth.refresh(12.0, over.refresh_token)
    assert fresh is not None
    assert heard.auth.valid(12.0, fresh.access_token)


def test_expiring_refresh_tokens_too_leaves_only_a_new_login() -> None:
    heard = Heard()
    grant = heard.auth.issue(0.0)
    heard.auth.expire_all(1.0, refresh_too=True)
    assert heard.auth.refresh(1.0, grant.refresh_token) is None
    assert heard.auth.valid(1.0, heard.auth.issue(1.0).access_token)


def test_only_aliases_of_our_own_tokens_leave() -> None:
    heard = Heard()
    grant = heard.auth.issue(0.0)
    assert heard.issued == [("<token#1>", 10.0)]
    assert heard.auth.alias(grant.access_token) == "<token#1>"
    assert heard.auth.alias("a secret of the client's") == UNKNOWN
    assert heard.auth.alias("") == ""
