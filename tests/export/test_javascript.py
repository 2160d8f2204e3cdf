"""The scripts of the page in Chromium, module by module, against what they are written after."""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.browsers import chromium, needs_chromium
from tests.conftest import ROOT, VERSES
from tests.export.models import (
    CASES,
    PROSE,
    TOKENS,
    expected,
    likeliest_text,
    parts_of,
    random_model,
    real_ids,
    tokenizer,
    write,
)
from tests.treebank.test_treebank import BY_HAND, NLTK_SENTENCES, STORY, WITH_MARKS
from textgen import treebank
from textgen.export import page, tokenizer_file
from textgen.export.bundle import bundle
from textgen.generation import sampling
from textgen.generation.generator import Generator
from textgen.generation.sampling import Rules, filters_of
from textgen.generation.texts import Ending
from textgen.settings.definitions import CELL_NAMES, SamplingSettings
from textgen.settings.fields import fields_of
from textgen.support.errors import TextgenError
from textgen.tokens import TOKENIZERS
from textgen.tokens.tokenizer import Tokenizer

pytestmark = [
    needs_chromium,
    pytest.mark.xdist_group("export"),
]
Evaluate = Callable[..., Any]

SIGNS = [*"\"'’‘“”„«»()[]<>.,;:?!…-–—_*`#$%&@/^~=+", "--", "...", "''", "``", "www.", "<b>", "</b>"]
SPACES = [*" \t\n\xa0\u2003\u202f\u2028\x0b\x85\x1c\ufeff", "  ", " \xa0", "\n\n", " . . . "]
WORDS = re.findall(
    r"\S+",
    """
    a The dog dogs' houses can't cannot CANNOT gonna 'tis ’Twas 'em goin' th' O'Neil I'm isn’t Mr.
    e.g. U.S.A. J. I am. 3.5 1,000 10:30 1914–18 3rd snake_case AT&T R&D well-known x-- --y &amp;
    &c. http://example.com/a?b=1, me@example.com end.The U.S.Then d’ye wan na Straße ÉTÉ İstanbul
    ΣΊΣΥΦΟΣ 東京タワー ½ ²x Ⅷ. ǅ 'Ⅷ 'é' 'She 'she she' boys' :-) (:-) -> <= >== ⁀ ⁀⁀ 😀 e\u0301
    'n' rock'n'roll
""",
)


def random_texts(count: int = 400) -> list[str]:
    chance = random.Random(7)
    kinds = [WORDS] * 4 + [SIGNS] * 3 + [SPACES] * 2 + [[" "]] * 4
    return [
        "".join(chance.choice(chance.choice(kinds)) for _ in range(chance.randrange(1, 40)))
        for _ in range(count)
    ]


REAL = [
    VERSES,
    PROSE,
    STORY,
    (ROOT / "README.md").read_text(encoding="utf-8"),
    (ROOT / "tests" / "treebank" / "test_treebank.py").read_text(encoding="utf-8")[:9000],
]
BY_RULE = [*(text for text, _ in BY_HAND.values()), *(t for t, _ in WITH_MARKS.values())]
TEXTS = [re.sub("[\ud800-\udfff]", "", text) for text in [*REAL, *BY_RULE, *NLTK_SENTENCES]]
TEXTS += random_texts()


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page()
        page.goto("about:blank")
        yield page


@pytest.fixture(scope="module")
def evaluate(browser_page: Page) -> Evaluate:
    """Calls a function of JavaScript that sees the modules of the worker."""
    browser_page.add_script_tag(content=bundle("worker.js", page.FOLDERS))
    return browser_page.evaluate


def facts(own: Tokenizer) -> dict[str, Any]:
    return tokenizer_file.facts(own) | {"treebank": treebank.tables()}


# --- words ---


def test_texts_are_split_into_the_same_words(evaluate: Evaluate) -> None:
    script = """([tables, texts]) => {
        const rules = new modules["treebank.js"].Treebank(tables)
        return texts.map((text) => rules.tokenize(text))
    }"""
    found = evaluate(script, [treebank.tables(), TEXTS])
    for text, tokens in zip(TEXTS, found, strict=True):
        assert tokens == treebank.tokenize(text), repr(text)


def test_words_are_written_as_the_same_text(evaluate: Evaluate) -> None:
    chance, stock = random.Random(5), [token for text in TEXTS for token in treebank.tokenize(text)]
    stock += SIGNS + SPACES + WORDS
    streams = [treebank.tokenize(text) for text in TEXTS]
    streams += [[chance.choice(stock) for _ in range(60)] for _ in range(400)]
    script = """([tables, streams]) => {
        const rules = new modules["treebank.js"].Treebank(tables)
        return streams.map((tokens) => tokens.map(rules.detokenizer().push))
    }"""
    for tokens, found in zip(streams, evaluate(script, [treebank.tables(), streams]), strict=True):
        own = treebank.StreamingDetokenizer()
        assert found == [own.push(token) for token in tokens], tokens


KINDS = [
    {},
    {"pristine_input": True},
    {"kind": "word"},
    {"kind": "word", "lowercase": True},
    {"kind": "word", "pristine_output": True},
    {"kind": "word", "pristine_input": True},
    {"kind": "word", "documents": "paragraphs"},
    {"kind": "subword", "vocab_size": 320},
    {"kind": "subword", "vocab_size": 330, "lowercase": True},
    {"kind": "subword", "vocab_size": 300, "documents": "lines"},
    {"documents": "lines"},
]


def test_every_tokenizer_is_there(evaluate: Evaluate) -> None:
    found = evaluate('() => Object.keys(modules["tokenizers.js"].TOKENIZERS)')
    assert set(found) == page.TOKENIZERS
    assert {settings.get("kind", "character") for settings in KINDS} == set(TOKENIZERS)


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_seeds_are_read_and_gone_on_with_alike(
    settings: dict[str, Any], evaluate: Evaluate
) -> None:
    own = tokenizer(text=f"{VERSES}{STORY}ΣΊΣΥΦΟΣ İ 😀", **settings)
    seeds = [text[:300] for text in TEXTS] + [
        "",
        "The river ",
        "I can",
        "no",
        "\n",
        "\n\n",
        " \t\n",
    ]
    chance = random.Random(3)
    size = len(own.vocabulary)
    ids = [[chance.randrange(1, size) for _ in range(30)] for _ in seeds]
    script = """([facts, seeds, ids]) => {
        const own = modules["tokenizers.js"].tokenizerOf(facts)
        const marks = own.marks
        return seeds.map((seed, number) => {
            try {
                const { ids: prompt, decoder, typed } = own.prompt(seed)
                const openings = number % 20 || !typed ? [] : own.openings(typed)
                const told = ids[number].filter((id) => !marks.has(id))
                const text = told.map((id) => decoder.push(own.vocabulary[id])).join("")
                return [prompt, typed, openings, told.map((id) => own.textOf(id)), text]
            } catch { return null }
        })
    }"""
    all_found = evaluate(script, [facts(own), seeds, ids])
    for place, (seed, stream, found) in enumerate(zip(seeds, ids, all_found, strict=True)):
        try:
            prompt, decoder, typed = own.prompt(seed)
        except TextgenError:
            assert found is None, repr(seed)
            continue
        told = [i for i in stream if i not in own.marks.values()]
        openings = own.openings(typed) if typed and place % 20 == 0 else []
        assert sorted(found.pop(2)) == sorted(map(list, openings)), repr(seed)
        texts = [own.text_of(i) for i in told]
        spelled = "".join(decoder.push(own.vocabulary[i]) for i in told)
        assert found == [prompt.tolist(), typed.decode("latin-1"), texts, spelled], repr(seed)


def test_labels_and_ends_of_phrases(evaluate: Evaluate) -> None:
    text = "<|sea|>The river. It ran!\n<|land|>A hill (so high.) was\n<|sea|>Water?\n"
    for settings in ({"kind": "word"}, {}):
        own = tokenizer(text=text, documents="lines", **settings)
        script = """(facts) => {
            const own = modules["tokenizers.js"].tokenizerOf(facts)
            const ends = own.vocabulary.map((token) => own.endsPhrase(token))
            return [own.prompt("The", "land").ids, ends]
        }"""
        prompt, ends = evaluate(script, facts(own))
        assert prompt == own.prompt("The", "land")[0].tolist()
        assert ends == [own.ends_phrase(token) for token in own.vocabulary]


# --- drawing ---


def test_the_filters_are_those_of_the_settings_in_their_order(evaluate: Evaluate) -> None:
    """A filter that is not in `sampling.js` is to be named in `NOT_OFFERED`."""
    found = evaluate('() => Object.keys(modules["sampling.js"].FILTERS)')
    assert found == [name for name in sampling.FILTERS if name not in page.NOT_OFFERED]


def test_every_setting_is_in_the_page_or_left_out_on_purpose() -> None:
    own = tokenizer(text="<|a|>one two\n<|b|>two three\n", documents="lines")
    names = {field.name for field in fields_of(SamplingSettings)}
    assert set(page.schemas(own)) == names - page.NOT_OFFERED


def test_tokens_have_the_same_probabilities_to_be_drawn(evaluate: Evaluate) -> None:
    chance = np.random.default_rng(2)
    asked = [
        {}, {"temperature": 0.5}, {"temperature": 2.0, "top_k": 5}, {"top_p": 0.7},
        {"min_p": 0.2, "temperature": 1.5}, {"repetition_penalty": 1.7},
        {"top_k": 8, "top_p": 0.8, "min_p": 0.05}, {"repetition_penalty": 0.8, "top_k": 9},
        {"repetition_penalty": 1.2, "repetition_window": 4},
        {"top_k": 50}, {"top_p": 1.0}, {"temperature": 1e-6},
    ]  # fmt: skip
    cases = []
    for settings in asked * 10:
        logits = (3 * chance.normal(size=20)).astype(np.float32)
        recent = chance.integers(1, 20, 10)
        cases.append((settings, logits, recent))
    ban = ((0,), (3,), (4, 5), (int(cases[0][2][-1]), 7))
    script = """([cases, ban, filters]) => cases.map(([settings, logits, recent]) => {
        const { restrict, scaleAndFilter, softmax } = modules["sampling.js"]
        const rules = {
            ban,
            filters: filters.flatMap((name) => name in settings ? [[name, settings[name]]] : []),
            repetitionPenalty: settings.repetition_penalty ?? 1,
            repetitionWindow: settings.repetition_window ?? 64, bannedTexts: [],
        }
        const own = Float64Array.from(logits)
        restrict(own, rules, recent)
        scaleAndFilter(own, settings.temperature ?? 1, rules)
        return [...softmax(own)]
    })"""
    given = [[settings, logits.tolist(), recent.tolist()] for settings, logits, recent in cases]
    found = evaluate(script, [given, ban, list(sampling.FILTERS)])
    for (settings, logits, recent), probabilities in zip(cases, found, strict=True):
        chosen = SamplingSettings.from_dict(settings)
        rules = Rules(
            temperature=(chosen.temperature,), filters=filters_of(chosen), ban=ban,
            repetition_penalty=chosen.repetition_penalty,
            repetition_window=chosen.repetition_window,
        )  # fmt: skip
        own = sampling.next_probabilities(logits[np.newaxis], rules, recent[np.newaxis])[0]
        np.testing.assert_allclose(probabilities, own, atol=1e-6)


def test_random_numbers_repeat_are_even_and_differ_by_seed(evaluate: Evaluate) -> None:
    script = """(seeds) => seeds.map((seed) => {
        const next = modules["sampling.js"].randomNumbers(seed)
        return Array.from({ length: 20000 }, next)
    })"""
    one, again, other, far = map(np.array, evaluate(script, [1, 1, 2, 2**32 + 1]))
    assert (one == again).all()
    assert (one != other).all()
    assert (one != far).all()
    counts, _ = np.histogram(one, bins=20, range=(0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi-square, 19 degrees: above in one of 1,000
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.03


def test_tokens_are_drawn_as_often_as_they_are_probable(evaluate: Evaluate) -> None:
    script = """() => {
        const { randomNumbers, sampleNext } = modules["sampling.js"], next = randomNumbers(4)
        const none = { filters: [], repetitionPenalty: 1, repetitionWindow: 64, boundaries: null }
        const rules = { ban: [[0]], bannedTexts: [], temperature: [1], ...none }
        const logits = Float64Array.from([0.9, 0.1, 0.2, 0.3, 0.4].map(Math.log))
        return Array.from({ length: 20000 }, () => sampleNext(logits.slice(), next(), rules, [], 0))
    }"""
    counts = np.bincount(evaluate(script), minlength=5)
    np.testing.assert_allclose(counts / 20000, [0, 0.1, 0.2, 0.3, 0.4], atol=0.015)


ENDINGS = [
    {"stop": ["THE END", "."]}, {"until_paragraph": True}, {"until_line": True},
    {"stop_after": ["river", "s,"]}, {"sentences": 2}, {"sentences": 1, "stop": ["xyz"]},
    {"stop": ["\n\n\n"], "sentences": 3},
]  # fmt: skip


def test_texts_end_at_the_same_place(evaluate: Evaluate) -> None:
    chance, texts = random.Random(11), ["Mr. Fox ran. He (Dr. B. Z.) sat!” Then… it ended\nso. X"]
    texts += [
        "\n\n\nOne.\n\nTwo THE EN THE END",
        "彼は行った。私も。そう",
        *(t[:200] for t in TEXTS[:200]),
    ]
    streams = []
    for text in texts:
        cuts = sorted(chance.randrange(len(text) + 1) for _ in range(len(text) // 3))
        streams.append([text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)])
    own = tokenizer()
    script = """([facts, endings, streams]) => endings.map((settings) => streams.map((pieces) => {
        const own = modules["tokenizers.js"].tokenizerOf(facts)
        const ending = new (modules["texts.js"].Ending)(settings, own)
        const found = []
        for (const piece of pieces) if (!ending.reached) found.push(ending.push(piece))
        return [found.join(""), ending.reached ? "" : ending.held, ending.reached]
    }))"""
    for settings, all_found in zip(
        ENDINGS, evaluate(script, [facts(own), ENDINGS, streams]), strict=True
    ):
        for pieces, found in zip(streams, all_found, strict=True):
            ending, told = Ending.of(SamplingSettings.from_dict(settings)), ""
            for piece in pieces:
                if not ending.reached:
                    told += ending.push(piece)
            assert found == [told, "" if ending.reached else ending.held, ending.reached], (
                settings,
                pieces,
            )


# --- the network ---


NETWORK = """
    const { Network } = modules["network.js"], { bytesOf, readArrays } = modules["weights.js"]
    const arrays = readArrays(facts.arrays, bytesOf(weights)), code = bytesOf(facts.product)
    const network = new Network(facts.model, facts.layers, arrays, code)
"""
PROBABILITIES = (
    f"""([facts, weights, ids]) => {{{NETWORK}"""
    + """
    const found = ids.map((id) => {
        network.step(id)
        return [...modules["sampling.js"].softmax(Float64Array.from(network.predict()))]
    })
    network.remember()
    let id = 0
    const text = ids.map(() => {
        network.step(id)
        const logits = network.predict()
        id = logits.indexOf(Math.max(...logits))
        return id
    })
    return [found, text]
}"""
)
"""The probabilities after each id, and the likeliest text, of the parts of a page."""


def computed(evaluate: Evaluate, file: Path, ids: np.ndarray) -> tuple[np.ndarray, list[int]]:
    parts = parts_of(file.read_text(encoding="utf-8"))
    own = json.loads(parts["facts"])
    found, text = evaluate(PROBABILITIES, [own, parts["weights"], ids.tolist()])
    return np.array(found), text


def test_every_cell_is_there(evaluate: Evaluate) -> None:
    assert set(evaluate('() => Object.keys(modules["network.js"].CELLS)')) == page.CELLS
    assert {settings.cell for settings in CASES.values()} == page.CELLS == set(CELL_NAMES)


@pytest.mark.parametrize("case", CASES)
def test_the_network_computes_what_that_of_numpy_does(
    case: str, evaluate: Evaluate, tmp_path: Path
) -> None:
    model = random_model(CASES[case])
    ids = real_ids(model)
    assert len(ids) == TOKENS
    wanted = expected(model, ids)
    for settings, tolerance in (({"float32": True}, 1e-4), ({}, 5e-3)):
        file = write(model, "page", tmp_path / "model.html", **settings)
        found, text = computed(evaluate, file, ids)
        np.testing.assert_allclose(found, wanted, atol=tolerance)
        if settings:
            assert text == likeliest_text(model)


def test_words_of_documents_and_numbers_of_eight_bits(evaluate: Evaluate, tmp_path: Path) -> None:
    own = tokenizer("word", PROSE, documents="paragraphs")
    model = random_model(CASES["gru, tied"], own)
    ids = real_ids(model)[:150]
    wanted = expected(model, ids)
    found, _ = computed(evaluate, write(model, "page", tmp_path / "a.html", float32=True), ids)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    found, _ = computed(evaluate, write(model, "page", tmp_path / "b.html", int8=True), ids)
    np.testing.assert_allclose(found, wanted, atol=0.05)
    assert not np.allclose(found, wanted, atol=1e-4)


def test_a_browser_without_webassembly_computes_the_same(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    model = random_model(CASES["lstm, deep"])
    file = write(model, "page", tmp_path / "model.html", float32=True)
    ids = real_ids(model)[:50]
    evaluate("() => { window.kept = WebAssembly.Module; WebAssembly.Module = undefined }")
    try:
        found, _ = computed(evaluate, file, ids)
    finally:
        evaluate("() => { WebAssembly.Module = window.kept }")
    np.testing.assert_allclose(found, expected(model, ids), atol=1e-4)


@pytest.mark.parametrize("kind", ["character", "word", "subword"])
@pytest.mark.parametrize("documents", [None, "lines"])
def test_a_text_is_what_the_likeliest_tokens_spell(
    kind: str, documents: str | None, evaluate: Evaluate, tmp_path: Path
) -> None:
    """A whole text: the prompt, its opening, the rules, the network and the decoder together."""
    model = random_model(CASES["lstm"], tokenizer(kind, documents=documents))
    file = write(model, "page", tmp_path / "model.html", float32=True)
    parts = parts_of(file.read_text(encoding="utf-8"))
    script = (
        f"([facts, weights, requests]) => {{{NETWORK}"
        + """
        const own = modules["tokenizers.js"].tokenizerOf(facts.tokenizer)
        return requests.map((request) => {
            const text = new (modules["texts.js"].Text)(request, own, 3)
            network.remember()
            text.prompt.forEach((id) => network.step(id))
            if (text.typed) text.begin(modules["openings.js"].drawOpening(text, network))
            let told = ""
            while (!text.finished) {
                const { id, piece } = text.next(Float64Array.from(network.predict()))
                told += piece.text
                network.step(id)
            }
            return told
        })
    }"""
    )
    bans = {"ban": ["e", "the"], "repetition_penalty": 1.3}
    requests = [
        {"seed": seed, "length": 80, "random_seed": 1, "sample_mode": "argmax", **more}
        for seed in ("The riv", "It carr", "Who asks ", "A", "I can\n")
        for more in ({}, bans)
    ]
    found = evaluate(script, [json.loads(parts["facts"]), parts["weights"], requests])
    for request, text in zip(requests, found, strict=True):
        assert text == Generator.of(model).generate(**request), request


def test_a_check_is_that_of_zip(evaluate: Evaluate) -> None:
    import zlib

    for text in ("", "The river", "“é” 😀"):
        script = '(text) => modules["weights.js"].checkOf(new TextEncoder().encode(text))'
        found = evaluate(script, text)
        assert found == f"{zlib.crc32(text.encode()):08x}"
