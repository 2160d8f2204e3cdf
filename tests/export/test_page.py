"""The exported page in Debian's Chromium, opened from the disk, without a network."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

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
    written,
)
from tests.browsers import write as have_written
from tests.export.models import CASES, PROSE, parts_of, random_model, tokenizer, write
from textgen.export import page as exporter
from textgen.support.errors import TextgenError

pytestmark = [needs_chromium, pytest.mark.xdist_group("export")]
HOSTILE = (
    "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def opened(browser: Browser, file: Path, **settings: object) -> Iterator[Page]:
    """The page, which asks nothing of any host and breaks no rule of its policy."""
    with browser.new_context(offline=True, **settings) as context:
        page, errors, asked = context.new_page(), [], []
        page.set_default_timeout(SECONDS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        yield page
        assert errors == []
        assert {url.partition(":")[0] for url in asked} <= {"file", "blob", "data"}


def ready(page: Page) -> Page:
    expect(page.get_by_role("button", name="Write")).to_be_enabled()
    return page


@pytest.fixture(scope="module")
def characters(trained_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "verses.html"
    return textgen.export_model(trained_dir, "page", file, title="Verses").path


def test_characters_are_typed_streamed_branched_and_copied(
    browser: Browser, characters: Path, trained_dir: Path
) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with opened(browser, characters, permissions=permissions) as page:
        ready(page)
        expect(page.get_by_role("heading", name="Verses")).to_be_visible()
        page.locator("#setting-sample_mode").select_option("argmax")
        text = have_written(page, "The river", length=60)
        assert text == textgen.load(trained_dir).generate("The river", 60, 0)
        expect(page.locator("#text .seed")).to_have_text("The river")
        expect(page.locator("#spoken")).to_contain_text(text.split()[0])
        page.get_by_role("button", name="Copy text").click()
        expect(page.locator("#status")).to_have_text("Text copied.")
        assert page.evaluate("navigator.clipboard.readText()") == "The river" + text
        expect(choices_of_token(page, 10)).to_have_count(6)
        branch = choose_another(page, text, 10)
        expect(page.locator("#text .seed")).to_have_text("The river" + text[:10])
        assert len(branch) == 50
        expect(page.get_by_role("listitem")).to_have_count(2)
        expect(page.get_by_role("button", name="Link")).to_have_count(0)


@pytest.mark.parametrize("kind", ["word", "subword"])
def test_words_are_typed_streamed_branched_and_copied(
    kind: str, browser: Browser, tmp_path: Path
) -> None:
    model = random_model(CASES["gru, tied"], tokenizer(kind, PROSE))
    file = write(model, "page", tmp_path / "page.html")
    permissions = ["clipboard-read", "clipboard-write"]
    with opened(browser, file, permissions=permissions) as page:
        ready(page)
        text = have_written(page, "Stop with", length=40, random_seed=7)
        assert len(text) > 40
        seen = page.locator("#text .token").filter(has_text=re.compile(r"\w"))  # bytes may add none
        seen.nth(3).click()
        signs = page.locator("#choices .sign").all_text_contents()
        number, chosen = next((n, s) for n, s in enumerate(signs) if s.strip().isalpha())
        page.get_by_role("dialog").get_by_role("button").nth(number).click()
        branch = finished(page)
        assert branch.strip().startswith(chosen.strip())
        page.get_by_role("button", name="Copy text").click()
        seed = page.locator("#text .seed").text_content() or ""
        assert page.evaluate("navigator.clipboard.readText()") == seed + branch


def test_weights_come_in_parts(
    browser: Browser, trained_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "PART_SIZE", 3 * 100)
    file = textgen.export_model(trained_dir, "page", tmp_path / "page.html").path
    assert file.read_text(encoding="utf-8").count('id="weights-') > 10
    with opened(browser, file) as page:
        ready(page).locator("#setting-sample_mode").select_option("argmax")
        text = have_written(page, "The river", length=60)
        assert text == textgen.load(trained_dir).generate("The river", 60, 0)


def test_a_seed_number_repeats_a_text(browser: Browser, characters: Path) -> None:
    with opened(browser, characters) as page:
        ready(page)
        texts = [have_written(page, "The ", length=80, random_seed=n) for n in (3, 4, 3)]
        assert texts[0] == texts[2] != texts[1]
        page.get_by_label("Beginning").press_sequentially("river and", delay=5)
        longer = have_written(page, "The ferry", length=80, random_seed=3)
        page.reload()
        assert have_written(ready(page), "The ferry", length=80, random_seed=3) == longer


def test_stop_and_errors_in_words(browser: Browser, characters: Path) -> None:
    with opened(browser, characters) as page:
        ready(page)
        page.get_by_label("Length").fill("100000")
        page.evaluate(CLICK_STOP)
        page.get_by_label("Beginning").press("Control+Enter")
        expect(page.locator("#status")).to_have_text("Stopped.")
        text = written(page)
        assert 50 < len(text) < 100_000
        assert have_written(page, "The ", length=30).strip()
        page.get_by_label("Length").fill("100001")
        page.get_by_role("button", name="Write").click()
        expect(page.get_by_role("alert")).to_contain_text("`length` must be at most 100000")
        page.get_by_label("Length").fill("50")
        page.get_by_text("More settings").click()
        page.get_by_label("Ban").fill("\n".join("etaoinshrdlu ,.;:?!'"))
        assert not set("etaoin") & set(have_written(page, "The ", length=50))


def test_labels_are_offered_and_a_document_ends(browser: Browser, tmp_path: Path) -> None:
    own = tokenizer(text="<|sea|>The river\n<|land|>A hill\n", documents="lines")
    model = random_model(CASES["lstm"], own)
    model.weights["logits/bias"][1] = 3.0  # the end of a document comes soon
    with opened(browser, write(model, "page", tmp_path / "page.html")) as page:
        ready(page)
        page.get_by_text("More settings").click()
        assert page.locator("#labels option").count() == 2
        page.get_by_label("Label").fill("sea")
        text = have_written(page, "", length=2000, random_seed=1)
        assert len(text) < 2000
        expect(page.locator("#status")).to_contain_text("It came to its end")
        assert "<|" not in text


def test_titles_and_tokens_never_run_as_html(browser: Browser, tmp_path: Path) -> None:
    own = tokenizer("word", f"{HOSTILE} {HOSTILE} a", pristine_input=True)
    model = random_model(CASES["lstm"], own)
    model = model._replace(metadata=replace(model.metadata, line_starts=[HOSTILE]))
    file = write(
        model, "page", tmp_path / "page.html", title=HOSTILE, author=HOSTILE, note=f"Of {HOSTILE}"
    )
    with opened(browser, file) as page:
        ready(page)
        assert page.title() == HOSTILE
        expect(page.locator("h1")).to_have_text(HOSTILE)
        expect(page.locator("#note")).to_have_text(f"Of {HOSTILE}")
        expect(page.locator("#about")).to_contain_text(f"By {HOSTILE}")
        assert "<script>" in have_written(page, HOSTILE, length=40, random_seed=1) + HOSTILE
        page.locator("#text .token").first.click()
        assert page.locator("img").count() == 0
        assert page.title() == HOSTILE


def damaged_pages(text: str) -> Iterator[tuple[str, str]]:
    parts = parts_of(text)
    weights, engine, facts = parts["weights"], parts["engine"], parts["facts"]
    yield "changed weights", text.replace(weights, f"{weights[:400]}AbCd{weights[404:]}")
    yield "cut within the weights", text[: text.index(weights) + len(weights) // 2]
    yield "cut before the weights", text[: text.index('<script type="application/octet-stream"')]
    yield "changed engine", text.replace(engine, engine.replace("0.001", "0.002", 1))
    yield "changed facts", text.replace(facts, facts.replace('"rnn_size"', '"rnn_sizE"', 1))
    yield "changed script", text.replace("Opening …", "Opening …!")


def test_a_page_that_was_cut_or_changed_says_so(
    browser: Browser, characters: Path, tmp_path: Path
) -> None:
    whole = characters.read_text(encoding="utf-8")
    for what, text in damaged_pages(whole):
        file = tmp_path / "page.html"
        file.write_text(text, encoding="utf-8")
        assert text != whole, what
        with browser.new_context(offline=True) as context:
            page = context.new_page()
            page.goto(file.as_uri())
            words = re.compile("was cut or changed|were cut or changed|cut or changed")
            expect(page.get_by_role("alert")).to_contain_text(words, timeout=SECONDS)
            expect(page.get_by_role("button", name="Write")).to_be_disabled()


def test_a_page_without_scripts_says_so(browser: Browser, characters: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(characters.as_uri())
        expect(page.get_by_role("alert")).to_contain_text("runs no scripts")


def test_its_policy_lets_nothing_in(browser: Browser, characters: Path) -> None:
    text = characters.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy[1]
    assert "'unsafe-eval'" not in policy[1]
    assert not re.search(r'(?:src|href)="(?!data:|#)(?!/docs")', text)
    added = text.replace('<p id="note"', "<script>document.title='run'</script><p id=\"note\"")
    assert added != text
    with browser.new_context(offline=True) as context:
        page = context.new_page()
        page.set_content("")
        file = characters.with_name("added.html")
        file.write_text(added, encoding="utf-8")
        page.goto(file.as_uri())
        ready(page)
        assert page.title() == "Verses"
        file.unlink()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 320)])
def test_axe_finds_nothing(browser: Browser, characters: Path, scheme: str, width: int) -> None:
    viewport = {"width": width, "height": 800}
    # Axe's own script is none of the page's: the policy would forbid it.
    settings = {"color_scheme": scheme, "viewport": viewport, "bypass_csp": True}
    with opened(browser, characters, **settings) as page:
        ready(page)
        have_written(page, "The ", length=60, random_seed=1)
        page.get_by_label("shade by probability").check()
        page.locator("#text .token").nth(30).click()
        found = Axe().run(page).response["violations"]
        assert found == [], [(one["id"], one["nodes"][0]["html"]) for one in found]
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_keyboard_reaches_all_of_it(browser: Browser, characters: Path) -> None:
    with opened(browser, characters) as page:
        ready(page)
        text = have_written(page, "The ", length=20, random_seed=2)
        walk_to_choices(page, text)


def test_what_is_too_large_is_told_what_would_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(CASES["lstm"])
    size = {
        kind: exporter.size_of(model.metadata.model, len(model.metadata.tokenizer.vocabulary), kind)
        for kind in exporter.STORES
    }
    for largest, settings, words in (
        (size["float16"], {"float32": True}, "leave `float32` out"),
        (size["int8"], {}, "give `int8`"),
        (size["int8"] - 1, {}, "a model of `rnn_size` 8 would fit"),
        (500, {"int8": True}, "train with a lower `max_vocab`"),
    ):
        monkeypatch.setattr(exporter, "LARGEST", largest)
        with pytest.raises(TextgenError, match=words):
            write(model, "page", tmp_path / "page.html", **settings)
        assert not (tmp_path / "page.html").exists()
    monkeypatch.setattr(exporter, "LARGEST", size["float16"])
    assert write(model, "page", tmp_path / "page.html").exists()
