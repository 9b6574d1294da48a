"""The page in headless Chromium: what a person clicks, zooms and finds; a silent console, and no request leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultline.reports import page
from tests.reports.histories import long, twice
from tests.reports.kit import report, shown
from tests.reports.test_page import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and its driver: apt-get install chromium chromium-driver"
)

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.options import Options  # noqa: E402  # only where selenium is there
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webdriver import WebDriver  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
)  # fmt: skip


@pytest.fixture(scope="module")
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


class Opened:
    """A page in the browser, as a person has it."""

    def __init__(self, browser: WebDriver, path: Path) -> None:
        self.browser = browser
        for log in ("performance", "browser"):
            browser.get_log(log)  # what the page before left there
        browser.get(path.as_uri())

    def at(self, selector: str) -> WebElement:
        return self.browser.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.at(selector).text

    def click(self, selector: str) -> None:
        self.browser.execute_script(
            "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", self.at(selector)
        )
        self.at(selector).click()

    def find(self, words: str) -> int:
        """How many events there are when ``words`` are looked for."""
        self.at("#find").clear()
        self.at("#find").send_keys(words or " " + Keys.BACKSPACE)
        return int(self.text("#listed").split()[0])

    def part(self) -> tuple[float, float]:
        begin, end = self.text("#shown-part").replace(" s", "").split(" to ")
        return float(begin), float(end)

    def style(self, selector: str, name: str) -> str:
        return self.at(selector).value_of_css_property(name)

    def emulate(self, **media: object) -> None:
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def requests(self) -> list[str]:
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        sent = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
        return [each["params"]["request"]["url"] for each in sent]

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]


def written(folder: Path, words: str = "") -> Path:
    run = shown(twice(words=words, crash=True), words=words)
    path = folder / "report.html"
    path.write_text(page.text(report(run, words), [run]))
    return path


def test_a_person_zooms_filters_and_copies(browser: WebDriver, tmp_path: Path) -> None:
    opened = Opened(browser, written(tmp_path))
    assert opened.text("h1").startswith("Intent A (buy 4 NQ at 100) became 2 orders")
    assert opened.at(".sequence .bolt").is_displayed()

    # Zoom by button, key and dragging; both charts go along.
    whole = opened.part()
    before = opened.at("#latency svg").get_attribute("innerHTML")
    opened.click("[data-zoom=in]")
    half = opened.part()
    assert half[1] - half[0] == pytest.approx((whole[1] - whole[0]) / 2, abs=0.01)
    assert opened.at("#latency svg").get_attribute("innerHTML") != before
    lanes = opened.at("#lanes")
    lanes.send_keys(Keys.ARROW_RIGHT)
    assert opened.part()[0] > half[0]
    lanes.send_keys("0")
    assert opened.part() == (0.0, 3.0)
    ActionChains(browser).move_to_element(lanes).click_and_hold().move_by_offset(150, 0).release().perform()
    assert 0 < opened.part()[0] < opened.part()[1] < 3.0
    opened.click("[data-zoom=lead]")
    assert opened.part()[0] <= 0.1
    assert opened.part()[1] >= 2.0

    # Events: by text, by kind, by cause, by time.
    everything = opened.find("")
    assert everything == len(browser.find_elements("css selector", "#events tbody tr"))
    assert 0 < opened.find("second") < everything
    assert "key=second" in opened.text("#events tbody")
    assert opened.find("no such thing") == 0
    opened.find("")
    Select(opened.at("#kind")).select_by_value("struck")
    assert opened.text("#listed").startswith("1 of ")
    Select(opened.at("#kind")).select_by_value("")
    opened.click("#only-lead")
    led = int(opened.text("#listed").split()[0])
    assert 0 < led < everything
    opened.click("#only-lead")
    opened.click("#only-part")
    assert int(opened.text("#listed").split()[0]) < everything
    opened.click("[data-zoom=all]")
    assert int(opened.text("#listed").split()[0]) == everything

    # Pointing at an operation says what it was, choosing it lists its events; a row shows its time in the charts.
    bar = opened.at("#lanes .bars.led")
    ActionChains(browser).move_to_element(bar).perform()
    assert opened.text(".tip-box").startswith("A: done")
    ActionChains(browser).move_to_element(bar).click().perform()
    assert opened.at("#find").get_attribute("value") == "A"
    opened.click("#events tbody tr")
    assert browser.find_elements("css selector", "#lanes .cursor")

    opened.click("[data-copy]")
    assert opened.text("[data-copy]") in ("Copied", "Selected")
    opened.click("details summary")
    assert opened.at("details[open] table").is_displayed()
    assert opened.complaints() == []
    assert [url for url in opened.requests() if not url.startswith(("file:", "data:"))] == []


def test_it_is_for_the_dark_for_paper_for_a_telephone_and_from_the_keyboard(browser: WebDriver, tmp_path: Path) -> None:
    opened = Opened(browser, written(tmp_path))
    light = opened.style("body", "background-color")
    opened.emulate(features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert opened.style("body", "background-color") != light
    opened.emulate(media="print", features=[])
    assert not opened.at(".tools").is_displayed()
    assert opened.at(".sequence").is_displayed()
    opened.emulate(media="", features=[])

    browser.set_window_size(400, 800)
    wide = browser.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page itself does not scroll sideways"
    browser.set_window_size(1200, 900)

    # Everything that can be clicked is reached with the tab key.
    reached = set()
    for _ in range(40):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        focused = browser.switch_to.active_element
        reached |= {focused.get_attribute("id") or focused.get_attribute("data-zoom") or focused.tag_name}
    assert {
        "in",
        "out",
        "left",
        "right",
        "lead",
        "all",
        "lanes",
        "latency",
        "find",
        "kind",
        "only-lead",
        "a",
        "summary",
    } <= (reached)
    assert len(browser.get_screenshot_as_png()) > 20_000
    assert opened.complaints() == []


def test_hostile_text_does_nothing(browser: WebDriver, tmp_path: Path) -> None:
    opened = Opened(browser, written(tmp_path, HOSTILE))
    counts = browser.execute_script(
        "return ['script', 'style', 'img', 'iframe', 'object', 'embed', 'link', 'form', '[onerror]', "
        "'[href^=javascript]'].map((name) => document.querySelectorAll(name).length)"
    )
    assert counts == [2, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert opened.at("h1").is_displayed(), "no style of theirs"
    assert "<script>alert(1)</script>" in opened.text("#events tbody")
    assert opened.find("onerror") > 0
    assert opened.complaints() == [], "an alert would stand in the way of all this"

    # The page's own policy holds even if a script got in.
    blocked = browser.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));"
        "fetch('http://127.0.0.1:9/').catch(() => {});"
    )
    assert blocked == "connect-src"
    assert [url for url in opened.requests() if not url.startswith(("file:", "data:"))] == []


def test_ten_thousand_operations_are_drawn_at_once(browser: WebDriver, tmp_path: Path) -> None:
    run = shown(long(10_000))
    path = tmp_path / "report.html"
    path.write_text(page.text(report(run), [run]))
    opened = Opened(browser, path)
    opened.click("[data-zoom=in]")
    began = browser.execute_script("return performance.now()")
    opened.click("[data-zoom=out]")
    drawn_ms = browser.execute_script("return performance.now()") - began
    assert drawn_ms < 2000
    assert opened.text("#listed").endswith("150 listed")
    opened.click("#more")
    assert opened.text("#listed").endswith("300 listed")
    assert opened.complaints() == []
