"""The page in a real browser: headless Chromium, desktop and phone, light and dark."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from alignheads.evaluate.load import load_benchmark
from alignheads.heads.load import load_heads
from alignheads.reports.page.report import Report

CHROMIUM, DRIVER = (
    shutil.which(name) or shutil.which(other)
    for name, other in (("chromium", "chromium-browser"), ("chromedriver", "chromium-driver"))
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="no chromium and chromedriver on the path (Debian: chromium, chromium-driver)",
    ),
]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
WIDTHS = {"desktop": 1200, "phone": 390}


@pytest.fixture(scope="module")
def page(tmp_path_factory, tiny):
    """A page with every section that needs no sweep, of real streams of the tiny model."""
    from alignheads.corpora import load_corpus
    from alignheads.evaluate.benchmark import Job, benchmark
    from alignheads.evaluate.measure import Decoder
    from alignheads.runtime.stream.config import DecoderConfig

    folder = tmp_path_factory.mktemp("page")
    config = DecoderConfig.bundled("tiny")
    decoders = [
        Decoder("simul", "simul", config),
        Decoder("late", "simul", config.changed(border_s=1.0)),
        Decoder("offline", "offline", None),
    ]
    job = Job(tiny, load_corpus("demo:test"), decoders, limit=3, traces=1)
    benchmark(job, folder / "b.json")
    report = Report([(folder / "b.json", load_benchmark(folder / "b.json"))], load_heads("tiny"))
    (folder / "report.html").write_text(report.html(), encoding="utf-8")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def opened(browser, page: Path, width: int, theme: str):
    """The page at a width and in a theme, from a fresh load."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
    browser.get(page.as_uri())
    return browser


def saved(browser, name: str) -> None:
    """A picture of the whole page, where SCREENSHOTS names a folder to keep it in."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        import base64

        size = browser.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        shot = browser.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


FIGURES = """
return [...document.querySelectorAll("figure")].map((figure) => {
  const shown = [...figure.querySelectorAll("svg, img")].filter((one) => one.checkVisibility());
  const boxes = shown.map((one) => one.getBoundingClientRect());
  const drawn = shown.every((one) => one.tagName === "IMG"
    ? one.complete && one.naturalWidth > 0
    : [...one.querySelectorAll("path")].some((path) => path.getBoundingClientRect().width > 0));
  return [shown.length, Math.min(...boxes.map((box) => Math.min(box.width, box.height))), drawn];
});
"""
WIDER = """
const width = document.documentElement.clientWidth;
return [...document.querySelectorAll("body *")]
  .filter((one) => !one.closest(".scroll, svg") || one.matches(".scroll"))
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > width + 1)
  .map((one) => one.outerHTML.slice(0, 80));
"""
CONTRAST = """
const [ink, paper] = ["color", "backgroundColor"].map((name) =>
  getComputedStyle(document.body)[name].match(/[0-9]+/g).slice(0, 3).map(Number));
const light = (c) => c.map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const [high, low] = [light(ink), light(paper)].sort((a, b) => b - a);
return [(high + 0.05) / (low + 0.05), light(paper)];
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
def test_every_figure_is_seen_and_nothing_is_wrong(browser, page, device, theme):
    opened(browser, page, WIDTHS[device], theme)
    browser.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true)")
    figures = browser.execute_script(FIGURES)
    assert len(figures) >= 6
    for count, smallest, is_drawn in figures:
        assert count == 1  # the wide or the narrow one, never both
        assert smallest > 80
        assert is_drawn
    assert browser.execute_script(WIDER) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") == WIDTHS[device]
    runs = "const runs = document.querySelector('.cards').parentElement;"
    assert browser.execute_script(f"{runs} return runs.scrollWidth <= runs.clientWidth")
    contrast, paper = browser.execute_script(CONTRAST)
    assert contrast > 10
    assert (paper < 0.1) == (theme == "dark")
    saved(browser, f"{device}-{theme}")
    assert browser.get_log("browser") == []


def test_text_in_figures_is_large_enough_on_a_phone(browser, page):
    opened(browser, page, WIDTHS["phone"], "light")
    scales = browser.execute_script(
        "return [...document.querySelectorAll('figure svg')].filter((one) => one.checkVisibility())"
        ".map((one) => one.getBoundingClientRect().width / one.viewBox.baseVal.width)"
    )
    # Labels are drawn at 7.5 points or more: 9 px and more on the screen at a scale of 1.2.
    assert min(scales) > 1.2


@pytest.mark.parametrize("device", WIDTHS)
def test_the_player_plays_and_the_cursor_and_the_words_follow(browser, page, device):
    from selenium.webdriver.support.ui import WebDriverWait

    opened(browser, page, WIDTHS[device], "light")
    start = browser.execute_script(
        "const audio = document.querySelector('audio'); audio.muted = true;"
        "audio.scrollIntoView(); audio.play();"
        "return document.querySelector('.cursor').getBoundingClientRect().left"
        " - document.querySelector('.timeline .wide').getBoundingClientRect().left"
    )
    state = (
        "const audio = document.querySelector('audio');"
        "return [audio.currentTime, audio.duration, audio.error && audio.error.message,"
        " document.querySelector('.cursor').getBoundingClientRect().left"
        " - document.querySelector('.timeline .wide').getBoundingClientRect().left,"
        " document.querySelector('.said').textContent, Number(document.querySelector("
        "'.timeline').dataset.seconds)]"
    )
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(state)[0] > 1.5)
    _, duration, error, cursor, said, seconds = browser.execute_script(state)
    assert error is None
    assert duration == pytest.approx(seconds, abs=0.05)
    assert cursor > start + 10
    assert said
    text = browser.execute_script(
        "const audio = document.querySelector('audio'); audio.pause();"
        "return new Promise((done) => { audio.addEventListener('seeked', () => setTimeout(() =>"
        " done(document.querySelector('.said').textContent), 50)); audio.currentTime ="
        " audio.duration - 0.001; })"
    )
    one = load_benchmark(page.with_name("b.json")).runs[0]
    wanted = next(u.hypothesis for u in one.utterances if u.id == one.traces[0].id)
    assert text == wanted
    assert browser.get_log("browser") == []


def test_a_click_into_the_picture_moves_the_player(browser, page):
    opened(browser, page, WIDTHS["desktop"], "light")
    now, seconds = browser.execute_script(
        "const box = document.querySelector('.timeline'), audio = box.querySelector('audio');"
        "const picture = box.querySelector('.wide'), place = picture.getBoundingClientRect();"
        "const [from, to, seconds] = ['from', 'to', 'seconds'].map((n) => Number(box.dataset[n]));"
        "return new Promise((done) => { audio.addEventListener('seeked',"
        " () => done([audio.currentTime, seconds]));"
        " picture.dispatchEvent(new MouseEvent('click', { bubbles: true,"
        " clientX: place.left + place.width * (from + to) / 2 })); })"
    )
    assert now == pytest.approx(seconds / 2, abs=0.1)


def test_a_printed_page_is_light_and_opens_all(browser, page):
    opened(browser, page, WIDTHS["desktop"], "dark")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    _, paper = browser.execute_script(CONTRAST)
    assert paper == 1
    closed = browser.execute_script(
        "return document.querySelectorAll('details:not([open])').length"
    )
    assert closed == 0
    hidden = browser.execute_script(
        "return ['nav', 'audio', '.cursor'].every((one) =>"
        " !document.querySelector(one).checkVisibility())"
    )
    assert hidden
