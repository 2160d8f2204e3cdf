"""The page in Debian's Chromium, driven as a person uses it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

import textgen
from tests.browsers import (
    CLICK_STOP,
    SECONDS,
    choices_of_token,
    choose_another,
    chromium,
    finished,
    needs_chromium,
    walk_to_choices,
    write,
    written,
)
from tests.services import Running, serving
from textgen.model.history import csv_text
from textgen.support.files import write_atomic
from textgen.training.live import Sample, SampleFile

pytestmark = [needs_chromium, pytest.mark.xdist_group("page")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    with opened(browser, running) as page:
        yield page


@contextmanager
def opened(browser: Browser, service: Running, **settings) -> Iterator[Page]:
    """The page, on which no script may fail."""
    with browser.new_context(**settings) as context:
        page, errors = context.new_page(), []
        page.set_default_timeout(SECONDS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: errors.append(message.text) if "Policy" in message.text else None,
        )
        page.goto(service.address)
        expect(page.locator("#model option")).not_to_have_count(0)
        yield page
        assert errors == []


def test_type_and_read(page: Page, trained_dir: Path) -> None:
    text = write(page, "The river", length=60, random_seed=5)
    expected = textgen.load(trained_dir).generate("The river", 60, 0.8, 5)
    assert text == expected
    expect(page.locator("#text .seed")).to_have_text("The river")
    expect(page.get_by_role("link", name="API")).to_be_visible()
    expect(page.locator("#spoken")).to_contain_text(expected.split()[0])
    expect(page.get_by_role("listitem")).to_have_count(1)


def test_the_knobs_are_obeyed(page: Page, trained_dir: Path) -> None:
    page.locator("#setting-sample_mode").select_option("argmax")
    text = write(page, "The ", length=30, top_k=3, top_p=0.9)
    assert text == textgen.load(trained_dir).generate("The ", 30, 0)
    page.get_by_role("button", name="dice").click()
    assert re.fullmatch(r"\d+", page.locator("#setting-random_seed").input_value())


def test_more_settings_are_obeyed_and_are_in_the_link(page: Page, trained_dir: Path) -> None:
    page.get_by_text("More settings").click()
    page.get_by_label("Ban").fill("e\nth")
    page.get_by_label("Until paragraph").check()
    page.get_by_label("Repetition penalty").fill("1.3")
    text = write(page, "The ", length=60, random_seed=4)
    settings = {"ban": ["e", "th"], "until_paragraph": True, "repetition_penalty": 1.3}
    assert text == textgen.load(trained_dir).generate("The ", 60, 0.8, 4, **settings)
    expect(page.get_by_role("listitem")).to_contain_text("ban e, th")
    page.reload()
    assert finished(page) == text
    expect(page.get_by_label("Ban")).to_have_value("e\nth")
    expect(page.get_by_label("Until paragraph")).to_be_checked()


def test_a_setting_that_the_page_has_never_heard_of_gets_its_control(
    browser: Browser, running: Running
) -> None:
    new = {
        "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "null"}],
        "default": None, "description": "draw what is typical", "group": "how each token is drawn",
    }  # fmt: skip
    with browser.new_context() as context:
        page, sent = context.new_page(), []

        def more(route: Route) -> None:
            route.fulfill(json=route.fetch().json() | {"typical_p": new})

        def noted(route: Route) -> None:
            sent.append(route.request.post_data_json)
            route.continue_()

        page.route("**/api/settings", more)
        page.route("**/api/generate", noted)
        page.goto(running.address)
        page.get_by_text("More settings").click()
        control = page.get_by_label("Typical p")
        expect(control).to_have_accessible_description("draw what is typical")
        control.fill("0.25")
        page.get_by_role("button", name="Write").click()
        expect(page.get_by_role("alert")).to_contain_text("`typical_p` is no setting here")
        assert sent[0]["typical_p"] == 0.25


def test_stop(page: Page) -> None:
    page.get_by_label("Length").fill("10000")
    page.evaluate(CLICK_STOP)
    page.get_by_label("Beginning").press("Control+Enter")
    expect(page.locator("#status")).to_have_text("Stopped.")
    text = written(page)
    assert 50 < len(text) < 10_000
    expect(page.get_by_role("button", name="Write")).to_be_enabled()
    assert written(page) == text


def test_shades_and_what_else_was_likely_and_a_branch(page: Page) -> None:
    text = write(page, "The ", length=40, random_seed=2)
    choices = choices_of_token(page, 10)
    expect(choices.first).to_be_visible()
    assert 5 <= choices.count() <= 6
    assert re.search(r"[\d.]+ %", choices.first.text_content() or "")
    branch = choose_another(page, text, 10)
    expect(page.locator("#text .seed")).to_have_text("The " + text[:10])
    assert len(branch) == 30
    expect(page.get_by_role("listitem")).to_have_count(2)


def test_the_keyboard_reaches_all_of_it(page: Page) -> None:
    text = write(page, "The ", length=20, random_seed=2)
    walk_to_choices(page, text)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert len(finished(page)) == 18


def test_a_link_makes_the_text_again(page: Page, browser: Browser) -> None:
    text = write(page, "A coin & a «word»", length=50, random_seed=9, top_p=0.7)
    link = page.url
    assert "random_seed=9" in link
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(link)
        assert finished(other) == text
        expect(other.get_by_label("Beginning")).to_have_value("A coin & a «word»")
        plain = other.request.get(link, headers={"accept": "*/*"})
        assert plain.text() == "A coin & a «word»" + text


def test_a_long_beginning_is_in_no_link(page: Page) -> None:
    """In an address each of these letters takes six bytes, and the service refuses that many."""
    write(page, "é" * 3000, length=20)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("alert")).to_contain_text("too long for a link")
    page.reload()
    expect(page.locator("#model option")).not_to_have_count(0)
    expect(page.get_by_role("listitem")).to_have_count(1)


def test_history_and_comparison(page: Page) -> None:
    first = write(page, "The ", length=30, random_seed=1)
    second = write(page, "The ", length=30, random_seed=2)
    cards = page.get_by_role("listitem")
    cards.nth(1).get_by_role("button", name="Compare").click()
    expect(page.locator("#compared-text")).to_have_text("The " + first)
    assert written(page) == second
    cards.nth(1).get_by_role("button", name="Open").click()
    assert written(page) == first
    page.reload()
    assert finished(page) == first, "the address makes it again"
    expect(cards).to_have_count(2)
    page.get_by_role("button", name="Forget all").click()
    expect(cards).to_have_count(0)


def test_a_training_is_shown(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / ".textgen").mkdir()
    SampleFile(tmp_path).write(Sample(1, 0.5, "The ", "river"))
    first = {"epoch": 1, "step": 10, "loss": 2.5, "val_loss": 2.75}
    blind = {name: value for name, value in first.items() if name != "val_loss"}
    write_atomic(tmp_path / "history.csv", csv_text([blind]).encode())
    with (
        serving(tmp_path, flags=("--watch",)) as service,
        opened(browser, service) as page,
    ):
        expect(page.locator("#training-about")).to_contain_text("Epoch 1, step 10, loss 2.500")
        expect(page.locator("#live .card")).to_contain_text("The river")
        expect(page.locator("#status")).to_contain_text("still being trained")
        expect(page.locator("#curve-legend")).to_contain_text("training")
        expect(page.locator("#validation-legend")).to_be_hidden()
        second = {"epoch": 2, "step": 20, "loss": 1.5, "val_loss": 1.75}
        words = {"nats_per_character": 0.35, "bits_per_character": 0.505}
        write_atomic(tmp_path / "history.csv", csv_text([first, second | words]).encode())
        about = page.locator("#training-about")
        expect(about).to_contain_text("validation 1.750, 0.350 nats, 0.505 bits per character")
        expect(page.locator("#validation-legend")).to_be_visible()
        points = page.locator("#curve polyline.validation").get_attribute("points") or ""
        assert len(points.split()) == 2
        characters = {"nats_per_character": 1.75, "bits_per_character": 2.525}
        write_atomic(tmp_path / "history.csv", csv_text([first, second | characters]).encode())
        expect(about).to_contain_text("validation 1.750, 2.525 bits per character")


def test_the_training_of_the_chosen_model_is_shown(browser: Browser, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for epochs, folder in enumerate(folders, start=1):
        folder.mkdir()
        rows = [{"epoch": e + 1, "step": e + 1, "loss": 2.5} for e in range(epochs)]
        write_atomic(folder / "history.csv", csv_text(rows).encode())
    with (
        serving(*folders, flags=("--watch",)) as service,
        opened(browser, service) as page,
    ):
        expect(page.locator("#training-about")).to_contain_text("Epoch 1, step 1")
        page.get_by_label("Model").select_option("other")
        expect(page.locator("#training-about")).to_contain_text("Epoch 2, step 2")


def test_errors_are_said_in_words(page: Page) -> None:
    page.get_by_label("Length").fill("20000")
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_role("alert")).to_contain_text("`length` must be at most 10000")


def test_the_service_goes_away(browser: Browser, trained_dir: Path) -> None:
    with serving(trained_dir) as service, opened(browser, service) as page:
        text = write(page, "The ", length=20)
        service.process.terminate()
        service.process.wait(timeout=30)
        page.get_by_role("button", name="Write").click()
        expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        assert len(text) == 20


def test_a_key_is_asked_for(browser: Browser, trained_dir: Path) -> None:
    with serving(trained_dir, flags=("--api-key", "sesame")) as service:
        context = browser.new_context()
        page = context.new_page()
        page.goto(service.address)
        expect(page.get_by_role("alert")).to_contain_text("asks for a key")
        page.get_by_label("Key of this service").fill("sesame")
        page.keyboard.press("Tab")
        expect(page.locator("#model option")).not_to_have_count(0)
        assert len(write(page, "The ", length=20)) == 20
        context.close()


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1100),
        ("dark", 320),
        pytest.param("light", 320, marks=pytest.mark.slow),
        pytest.param("dark", 1100, marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing_serious(
    browser: Browser, running: Running, scheme: str, width: int
) -> None:
    viewport = {"width": width, "height": 800}
    with opened(browser, running, color_scheme=scheme, viewport=viewport) as page:
        write(page, "The ", length=60, random_seed=1)
        page.get_by_label("shade by probability").check()
        page.locator("#text .token").nth(30).click()
        for address in (None, "/docs"):
            if address:
                page.goto(running.address + address)
                expect(page.locator(".operation h2").first).to_be_visible()
                expect(page.locator("pre.operation")).to_contain_text(f"curl -N {running.address}/")
            found = Axe().run(page).response["violations"]
            serious = [one for one in found if one["impact"] in ("serious", "critical")]
            assert serious == [], [(one["id"], one["nodes"][0]["html"]) for one in serious]
            overflow = "document.documentElement.scrollWidth - innerWidth"
            assert page.evaluate(overflow) <= 0, "the page is wider than the screen"
