"""The page in headless Chromium: what a person clicks, types and copies; a silent console; nothing from elsewhere."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultline.store.results import Results
from faultline.store.web.server import Page, served
from tests.store.web.test_server import EVIL, fill

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and its driver: apt-get install chromium chromium-driver"
)

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.options import Options  # noqa: E402  # only where selenium is there
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webdriver import WebDriver  # noqa: E402

ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
)  # fmt: skip


@pytest.fixture
def address(results: Results) -> Iterator[str]:
    """The page of a filled store, served by a thread."""
    Path("saved.json").write_text("{}")
    fill(results)
    where: list[str] = []
    began, ends = threading.Event(), threading.Event()

    async def serve() -> None:
        async with served(Page.of(results), "127.0.0.1", 0, signals=False) as (at, _):
            where.append(at)
            began.set()
            await asyncio.get_running_loop().run_in_executor(None, ends.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert began.wait(20)
    try:
        yield where[0]
    finally:
        ends.set()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def browser() -> Iterator[WebDriver]:
    options = Options()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.binary_location = CHROMIUM or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def test_a_person_finds_what_broke_and_how_to_see_it(address: str, browser: WebDriver, tmp_path: Path) -> None:
    browser.get(address)

    def one(selector: str):  # type: ignore[no-untyped-def]  # selenium's element
        return browser.find_element("css selector", selector)

    assert one("h1").text == "1 thing broke in the last 24 hours"
    assert EVIL.replace("\x1b", "") in one(".finding").text.replace("\x1b", "")
    one("button[data-copy]").click()
    assert one("button[data-copy]").text in ("Copied", "Select it by hand")

    field = one("input[type=search]")
    field.send_keys("token")
    rows = browser.find_elements("css selector", "#trend-rows tr")
    assert [row.is_displayed() for row in rows].count(True) == 1
    assert one("output[data-count]").text == "1 of 3"
    field.clear()
    field.send_keys(Keys.SPACE)
    assert one("output[data-count]").text == "3"

    # By keyboard alone: the first stop is the way past the head of the page.
    browser.get(address)
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "To the content"
    one("nav a:nth-of-type(2)").send_keys(Keys.ENTER)
    assert browser.current_url == f"{address}runs"

    light = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert light != dark
    one("tbody a").click()
    assert "What is wrong" in one("main").text
    one(".broke h3 a").click()
    assert len(browser.find_elements("css selector", "svg.chart a circle")) >= 6
    assert browser.save_screenshot(str(tmp_path / "case.png"))
    assert (tmp_path / "case.png").stat().st_size > 20_000

    assert [entry["message"] for entry in browser.get_log("browser")] == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith((address, "data:", "chrome"))} == set()
    assert browser.execute_script("return document.scripts.length === 1")
