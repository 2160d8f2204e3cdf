"""README, docs, CONTRIBUTING and CHANGELOG: what they point at is there, and true of the flags."""

import re
from pathlib import Path

import pytest

from docs import make_flags
from tests.conftest import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*/*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The places that a link into the page can name, as GitHub makes them from headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        file, _, place = link.partition("#")
        if not file.startswith("https:"):
            target = page.parent / file if file else page
            assert target.exists(), link
            assert not place or place in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_is_indented_from_its_first_line_on(page: Path) -> None:
    paragraphs = page.read_text(encoding="utf-8").split("\n\n")
    assert not [part for part in paragraphs if re.match(r"(python3?|pip|import|curl) ", part)]


def test_the_pictures_are_small() -> None:
    for picture in (ROOT / "docs" / "pictures").iterdir():
        assert picture.stat().st_size < 120_000, f"{picture.name} is large for a page"


def test_the_page_of_flags_is_what_the_settings_say() -> None:
    assert make_flags.PAGE.read_text(encoding="utf-8") == make_flags.page(), (
        "python -m docs.make_flags"
    )


def test_every_page_of_the_documentation_is_linked_from_the_readme() -> None:
    linked = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= {link.partition("#")[0] for link in linked}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
