"""Chromium, and what is done alike on the page of the service and on one that is exported."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs: apt-get install chromium")
SECONDS = 20_000
"""Milliseconds that Playwright waits."""
CLICK_STOP = """() => {
    const text = document.getElementById("text")
    const click = (changes, observer) => {
        if (text.querySelectorAll(".token").length > 50) {
            observer.disconnect()
            document.getElementById("stop").click()
        }
    }
    new MutationObserver(click).observe(text, { childList: true, subtree: true })
}"""
"""Clicks within the page: this process may be slower than all of the text."""


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


def write(page: Page, prompt: str, **knobs: object) -> str:
    """Have a text written; what was written."""
    page.get_by_label("Beginning").fill(prompt)
    for name, value in knobs.items():
        page.locator(f"#setting-{name}").fill(str(value))
    page.get_by_role("button", name="Write").click()
    return finished(page)


def finished(page: Page) -> str:
    expect(page.locator("#status")).to_contain_text("tokens in", timeout=SECONDS)
    return written(page)


def written(page: Page) -> str:
    return "".join(page.locator("#text .token").all_text_contents())


def choices_of_token(page: Page, number: int) -> Locator:
    """What else was likely in the place of a token, which is shaded by its probability."""
    page.get_by_label("shade by probability").check()
    token = page.locator("#text .token").nth(number)
    shade = token.evaluate("element => getComputedStyle(element).backgroundColor")
    assert shade != "rgba(0, 0, 0, 0)"
    token.hover()
    return page.get_by_role("dialog").get_by_role("button")


def choose_another(page: Page, text: str, number: int) -> str:
    """Goes on with another character in the place of one; what is written then."""
    signs = page.locator("#choices .sign").all_text_contents()
    other = next(n for n, sign in enumerate(signs) if len(sign) == 1 and sign != text[number])
    page.get_by_role("dialog").get_by_role("button").nth(other).click()
    branch = finished(page)
    assert branch.startswith(signs[other])
    return branch


def walk_to_choices(page: Page, text: str) -> None:
    """Goes by keyboard to the choices of the third token, and back to the text."""
    page.locator("#text").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#status")).to_contain_text(f"“{text[2]}”")
    page.keyboard.press("Enter")
    expect(page.locator("#choices button").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#choices")).to_be_hidden()
    expect(page.locator("#text")).to_be_focused()
