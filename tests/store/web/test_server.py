"""The page as a server: what it says, to whom, and what it never does."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession, CookieJar

from faultline.errors import UsageError
from faultline.store import folder
from faultline.store.address import Address
from faultline.store.results import Results
from faultline.store.web.server import HEADERS, Page, is_local, served
from tests.store.kit import One, recorded, report

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}\x1b[31m"


def fill(results: Results, nights: int = 6) -> list[str]:
    """A run a day until now. The last one broke ``crash``; ``gaps`` broke three days ago, ``token`` was mended."""
    ids = []
    for ago in range(nights - 1, -1, -1):
        cases = (
            One("crash", fails=[1] if ago == 0 else [], finding=EVIL, schedule="saved.json"),
            One("gaps" + EVIL, fails=[0] if ago < 3 else []),
            One("token", fails=[2] if ago == 1 else [], latency_ms=100.0 + ago, recovery_ms=5.0),
        )
        whose = folder.about(time.time() - ago * 86_400 - 60, "run")
        whose = msgspec.structs.replace(whose, branch="main", revision=f"{ago:x}" * 40)
        folder.write(results.address.root, whose, report(*cases))
        ids.append(whose.id)
    assert results.take_in() == []
    return ids


@pytest.fixture
def page(results: Results) -> Page:
    Path("saved.json").write_text('{"schedule": "<script>alert(3)</script>"}')
    return Page.of(results)


@pytest.fixture
async def web(page: Page) -> AsyncIterator[tuple[str, ClientSession]]:
    async with served(page, "127.0.0.1", 0) as (address, _), ClientSession() as session:
        yield address.rstrip("/"), session


Web = tuple[str, ClientSession]


async def get(web: Web, path: str, status: int = 200, **more: object) -> str:
    async with web[1].get(web[0] + path, **more) as answer:  # type: ignore[arg-type]
        assert answer.status == status, path
        for name in HEADERS:
            assert name in answer.headers, (path, name)
        return await answer.text()


async def test_an_empty_store_says_so(web: Web) -> None:
    assert "No runs are recorded yet" in await get(web, "/")
    assert "No run is like that" in await get(web, "/runs")


async def test_what_broke_since_when_and_how_to_see_it(web: Web, page: Page) -> None:
    ids = fill(page.results)
    text = await get(web, "/")
    assert "<h1>1 thing broke in the last 24 hours</h1>" in text
    fresh, older = text.partition("Broken for longer")[::2]
    assert f'data-copy="faultline replay .faultline/runs/{ids[-1]}/saved.json"' in fresh
    assert re.search(rf'since <a href="/run/{ids[-1]}">.*last good <a href="/run/{ids[-2]}">', fresh)
    assert re.search(rf'since <a href="/run/{ids[3]}">.*last good <a href="/run/{ids[2]}">', older)
    assert re.search(rf"Mended in the last 24 hours.*token · careful.*/run/{ids[-1]}", older, re.DOTALL)
    assert text.count('<svg class="strip"') == 3
    assert 'aria-label="105 to 100 ms, at most 105"' in text
    assert 'aria-label="failed in 3 of 6 runs"' in text


async def test_what_came_from_outside_stays_text_on_every_page(web: Web, page: Page) -> None:
    ids = fill(page.results)
    keys = [case.key for case in page.results.whole(page.results.find(ids[-1])).cases]
    for path in (
        "/",
        "/runs?scenario=<script>",
        f"/run/{ids[-1]}",
        *(f"/case/{key}" for key in keys),
        "/case/<script>",
    ):
        status = 404 if path.endswith("/<script>") else 200
        text = await get(web, path, status)
        assert "<script>" not in text
        assert "<img" not in text
        assert "{{7*7}}" in text or EVIL not in text
        assert "onerror=alert(2)>" not in text
        assert re.findall(r"\son[a-z]+=|javascript:|style=", re.sub(r"&lt;.*?&gt;", "", text)) == []
        assert set(re.findall(r'(?:src|href)="(.)', text)) == {"/", "#"}


async def test_runs_by_scenario_verdict_and_time(web: Web, page: Page) -> None:
    ids = fill(page.results)

    async def shown(query: str) -> set[str]:
        return set(re.findall(r'<a href="/run/([^"]+)">', await get(web, f"/runs{query}")))

    assert await shown("") == set(ids)
    assert await shown("?verdict=pass") == set(ids[:3])
    assert await shown("?since=1d&verdict=fail") == {ids[-1]}
    assert await shown("?scenario=nothing") == set()
    assert await shown("?verdict=nonsense&since=nonsense") == set(ids)
    assert "<option selected>fail</option>" in await get(web, "/runs?verdict=fail")


async def test_a_run_with_what_changed_and_its_artifacts(web: Web, page: Page) -> None:
    ids = fill(page.results)
    text = await get(web, f"/run/{ids[-1]}")
    assert re.search(r'pill fail">new</span>.*crash · careful.*failed in 0 of 3 before, 1 of 3 now', text)
    assert re.search(r'pill pass">fixed</span>.*token · careful', text)
    assert f'href="/run/{ids[-1]}/saved.json"' in text
    async with web[1].get(f"{web[0]}/run/{ids[-1]}/saved.json") as answer:
        assert answer.content_type == "text/plain"
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "<script>alert(3)</script>" in await answer.text()


@pytest.mark.parametrize(
    "path",
    [
        "/run/{id}/..%2f..%2fresults.db", "/run/{id}/%2e%2e%2f{id}%2freport.json", "/run/{id}/link.json",
        "/run/{id}/.pending",
        "/run/{id}/%00", "/run/..%2f..%2f/results.db", "/run/../runs/{id}/report.json", "/run/%2e%2e/report.json",
        "/run/latest", "/run/2", "/static/server.py", "/static/..%2fserver.py", "/static/%2e%2e/server.py", "/nothing",
    ],
)  # fmt: skip
async def test_nothing_but_a_runs_own_files_is_served(web: Web, page: Page, path: str) -> None:
    id = recorded(page.results, One(fails=[0]))
    secret = Path("secret")
    secret.write_text("s3cret")
    (page.results.address.root / "runs" / id / "link.json").symlink_to(secret.resolve())
    (page.results.address.root / "runs" / id / ".pending").write_text("s3cret")
    raw = path.format(id=id)
    host, _, port = web[0].removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {raw} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404 "), answer[:200]
    assert b"s3cret" not in answer


async def test_other_names_for_this_machine_are_refused(web: Web) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example:80", "[::2]:80", ""):
        assert "Not from here" in await get(web, "/", 403, headers={"Host": host})
    for host in ("localhost:8476", "LOCALHOST", "[::1]:1"):
        await get(web, "/", headers={"Host": host})


async def test_it_only_reads(web: Web, page: Page) -> None:
    fill(page.results)
    (page.results.address.root / "runs" / "x").mkdir()

    def state() -> dict[str, str]:
        file = page.results.address.file
        assert file is not None
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in [*Path("saved.json").parent.rglob("*")]
                if path.is_file() and not path.name.endswith(("-wal", "-shm"))}  # fmt: skip

    before = state()
    for path in ("/", "/runs", f"/run/{page.results.find('latest').id}"):
        await get(web, path)
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with web[1].request(method, web[0] + path) as answer:
                assert answer.status == 405
    assert state() == before


async def test_a_store_that_went_away_is_told(web: Web, page: Page) -> None:
    file = page.results.address.file
    assert file is not None
    file.write_bytes(b"x" * 5000)
    for beside in (".db-wal", ".db-shm"):
        file.with_suffix(beside).unlink(missing_ok=True)
    assert "file is not a database" in await get(web, "/", 503)


async def test_with_a_token_everyone_needs_it_and_addresses_do_not_keep_it(results: Results) -> None:
    fill(results)
    jar = CookieJar(unsafe=True)  # that is, one that keeps cookies of an address without a name
    page = Page.of(results, "t0ken")
    async with served(page, "127.0.0.1", 0) as (address, _), ClientSession(cookie_jar=jar) as session:
        web = (address.rstrip("/"), session)
        for path in ("/", "/runs", "/static/style.css", "/?token=wrong", "/?token="):
            assert "A token is needed" in await get(web, path, 401)
        await get(web, "/", headers={"Authorization": "Bearer t0ken", "Host": "results.example"})
        await get(web, "/", 401, headers={"Authorization": "Bearer other"})
        async with session.get(f"{address}?token=t0ken", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            assert "HttpOnly" in answer.headers["Set-Cookie"]
            assert "SameSite=Strict" in answer.headers["Set-Cookie"]
        assert "1 thing broke" in await get(web, "/")


async def test_a_port_in_use_is_told(page: Page) -> None:
    async with served(page, "127.0.0.1", 0) as (address, _):
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}: .*another --port"):
            async with served(page, "127.0.0.1", port):
                pass


def test_what_is_local() -> None:
    assert [is_local(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_local(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", "")] == [False] * 5


def test_the_page_reads_a_server_too(postgres: Address) -> None:
    from faultline.store.web import pages

    results = Results(postgres)
    ids = fill(results)
    found = pages.overview(results)
    assert ([each.case.scenario for each in found.fresh], len(found.older), len(found.trends)) == (["crash"], 1, 3)
    assert pages.run(results, ids[-1]).comparison is not None
