"""The HTML page in a real browser: filters, cases that are opened, pictures, small screens, dark, paper, keyboard."""

import os
import shutil
from importlib import import_module
from importlib.util import find_spec

import pytest
from made_up import HOSTILE, case_line, evidence, header, write

from conformance.report import html
from conformance.report.results import read

CASES = "single-functional-B3-T5 or single-functional-B3-T20 or merge_sum or test_example or is_the_last_output"

#: A machine that has to run these tests says so; elsewhere a missing browser is a reason to leave them out.
REQUIRED = "REPORT_NEEDS_BROWSER"

#: How long the browser may take for one thing, in milliseconds: on a busy machine half a minute was too little.
PATIENCE = 180_000

SIZES = {"phone": (390, 844), "desktop": (1280, 800)}


def absent(reason):
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not path:
        absent("there is no Chromium")
    if not find_spec("playwright"):
        absent("playwright is not installed")
    with import_module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(failing_run, tmp_path_factory):
    """The page of a run of a layer without bias: all cases fail, the other tests pass."""
    if html.missing():
        absent(html.missing())
    file = tmp_path_factory.mktemp("report") / "new" / "report.html"
    tests = ("tests/conformance/test_models.py", "tests/conformance/test_documented.py")
    failing_run("Forgetful", *tests, "-k", CASES, f"--conformance-report={file}")
    return file


@pytest.fixture(params=SIZES)
def page(request, browser, file):
    """The page, opened; whatever it complains of fails the test."""
    width, height = SIZES[request.param]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENCE)
    complaints = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    yield page
    page.close()
    assert not complaints


def shown(page):
    return page.locator("#tests tbody tr:visible").count()


def test_filters(page):
    total = shown(page)
    page.get_by_label("verdict").select_option("diverges")
    failing = shown(page)
    assert 0 < failing < total
    assert page.locator("#shown").inner_text() == f"{failing} of {total} tests"
    page.get_by_label("topology").select_option("bidirectional")
    assert 0 < shown(page) < failing
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("option").fill("B3")
    assert 0 < shown(page) < total
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("text").fill("the bias is not added")
    assert shown(page) == page.locator(".test:visible").count() > 0
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function(f"document.querySelectorAll('#tests tbody tr:not([hidden])').length === {total}")


def test_case_is_opened_by_keyboard_and_has_pictures(page):
    case = page.locator(".test", has_text="single-functional-B3-T20-D5-U8-sequences_state").first
    case.locator("summary").first.focus()
    page.keyboard.press("Enter")
    pictures = case.locator("svg")
    assert pictures.count() == 1 + 2 + 1 + 1  # x; the output and its ratios; h; c
    for number in range(pictures.count()):
        box = pictures.nth(number).bounding_box()
        assert box["width"] > 200
        assert box["height"] > 80
    case.get_by_text("A program that fails as the case does").click()
    assert "numpy.array" in case.locator("pre").last.inner_text()


def test_cause_leads_to_its_cases(page):
    page.locator("button.find").first.click()
    assert page.locator(".test[open]:visible").count() == 1
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_link_opens_its_case(page):
    link = page.locator("#tests a:visible").first
    name = link.text_content()  # a row that is not on the screen has no inner text
    link.click()
    opened = page.locator(".test[open]")
    opened.wait_for()
    assert opened.locator(".name").text_content() == name


def test_documented_examples_are_a_page_of_their_own(page):
    assert not page.locator("#documented").is_visible()
    page.get_by_role("link", name="Documented examples").click()
    page.locator("#documented").wait_for()
    assert not page.locator("#filter").is_visible()
    articles = page.locator("#documented article")
    assert articles.count() >= 14
    assert all(articles.nth(number).locator("svg").count() >= 2 for number in range(articles.count()))
    page.get_by_role("link", name="Summary").click()
    page.locator("#filter").wait_for()


def test_page_is_as_wide_as_the_screen(page):
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_names_for_those_who_do_not_see(page):
    assert page.evaluate(
        "[...document.querySelectorAll('input, select, button')].every((e) => e.labels?.length || e.textContent.trim())"
    )
    assert page.evaluate("[...document.querySelectorAll('svg')].every((e) => e.querySelector('title').textContent)")
    assert page.evaluate(
        "(ids => ids.length === new Set(ids).size)([...document.querySelectorAll('[id]')].map((e) => e.id))"
    )


def test_light_dark_and_paper(page):
    colours = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours.add(
            page.evaluate("getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color")
        )
    assert len(colours) == 2
    page.emulate_media(media="print")
    assert not page.locator("#filter").is_visible()


def test_hostile_results_do_nothing(browser, tmp_path):
    if html.missing():
        absent(html.missing())
    hostile = case_line(HOSTILE, "diverges", evidence(HOSTILE), message=HOSTILE, document=HOSTILE)
    results = write(tmp_path / "results.jsonl", header(keras=HOSTILE), hostile)
    (tmp_path / "page.html").write_text(html.render(read(results)), encoding="utf-8")
    page = browser.new_page()
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    page.locator(".test > summary").click()
    assert asked == [(tmp_path / "page.html").as_uri()]
    assert page.locator("img").count() == 0
    assert page.title() != "taken"
    assert HOSTILE in page.locator("h1 + p").inner_text()
    page.close()
