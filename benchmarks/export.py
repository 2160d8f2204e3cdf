"""How fast exported models write: the page in Chromium, and ONNX beside ours; prints the tables.

    python -m benchmarks.export [page] [start] [onnx]

The page is opened from the disk in a headless browser, and a text is timed as a person sees it:
from the click on Write until all of it stands there. Models have random weights, which cost what
trained ones do. Ways that are compared take turns.
"""

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import textgen
from benchmarks.generation import characters, save, take_turns
from benchmarks.machine import announce, spread
from textgen.generation.batch import Model
from textgen.settings.definitions import ModelSettings

ROUNDS = 7
LENGTH = {128: 8000, 512: 3000}
OF_3_MB = ModelSettings(rnn_size=480, num_layers=1)
SIZES = (ModelSettings(), ModelSettings(rnn_size=512, num_layers=1))
WRITTEN = """(length) => new Promise((resolve) => {
    document.getElementById("setting-length").value = length
    const status = document.getElementById("status")
    const begun = performance.now()
    new MutationObserver((changes, observer) => {
        if (!status.textContent.includes("tokens in")) return
        observer.disconnect()
        resolve((performance.now() - begun) / 1000)
    }).observe(status, { childList: true })
    document.getElementById("write").click()
})"""
"""Seconds from the click until the text is there."""
FIRST_TEXT = """
new MutationObserver((changes, observer) => {
    const write = document.getElementById("write")
    if (document.querySelector("#text .token")) {
        window.firstText = performance.now()
        observer.disconnect()
    } else if (write && !write.disabled && !window.clicked) {
        window.clicked = performance.now()
        write.click()
    }
}).observe(document, { childList: true, subtree: true, attributes: true })
"""
"""Asks for a text as soon as the page can write, and notes when its first token stands there."""


def main() -> None:
    announce(__doc__)
    parts = {"page": page, "start": start, "onnx": onnx}
    for name in sys.argv[1:] or parts:
        parts[name]()


def saved(settings: ModelSettings, folder: Path) -> Path:
    """A data directory with a model of random weights."""
    path = folder / f"{settings.rnn_size}x{settings.num_layers}"
    save(path, settings, characters())
    return path


def page() -> None:
    """Characters per second of a whole text, by the size of the model."""
    from playwright.sync_api import sync_playwright

    print(f"\nThe page in Chromium, characters/s: median of {ROUNDS} texts (lowest to highest)")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        opened = {}
        for settings in SIZES:
            for kind in ({}, {"int8": True}):
                path = saved(settings, Path(folder))
                name = (
                    f"{settings.rnn_size} x {settings.num_layers}, {'int8' if kind else 'float16'}"
                )
                file = textgen.export_model(path, "page", path / f"{name}.html", **kind).path
                opened[name] = browser.new_page(), LENGTH[settings.rnn_size], file
                opened[name][0].goto(file.as_uri())
                opened[name][0].wait_for_selector("#write:enabled")
        rates: dict[str, list[float]] = {name: [] for name in opened}
        for number in range(ROUNDS + 1):
            for name, (view, length, _) in opened.items():
                view.bring_to_front()
                seconds = view.evaluate(WRITTEN, length)
                rates[name] += [length / seconds] if number else []  # the first one warms up
        for name, (_, length, file) in opened.items():
            size = file.stat().st_size / 1e6
            print(f"  {name:<18}{spread(rates[name]):>26}   {length:,} characters, {size:.1f} MB")
        browser.close()


def start() -> None:
    """Milliseconds from opening a page of 3 MB to its first text."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = saved(OF_3_MB, Path(folder))
        file = textgen.export_model(path, "page").path
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        ready, first = [], []
        for number in range(ROUNDS + 1):
            context = browser.new_context()
            context.add_init_script(FIRST_TEXT)
            view = context.new_page()
            view.goto(file.as_uri())
            view.wait_for_selector("#text .token")
            if number:  # the first one starts the browser's processes
                ready.append(view.evaluate("window.clicked"))
                first.append(view.evaluate("window.firstText"))
            context.close()
        browser.close()
        size = file.stat().st_size / 1e6
    print(f"\nOpening a page of {size:.1f} MB, ms: median of {ROUNDS} (lowest to highest)")
    print(f"  ready to write {spread(ready)}, first text {spread(first)}")


def onnx() -> None:
    """One stream, tokens per second: onnxruntime beside our own network."""
    import onnxruntime

    print(f"\nONNX beside ours, one stream, tokens/s: median of {ROUNDS} (lowest to highest)")
    for settings in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = saved(settings, Path(folder))
            file = textgen.export_model(path, "onnx").path
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1  # one is faster for one stream
            session = onnxruntime.InferenceSession(file, options)
            network = textgen.load(path).network
        ways: dict[str, Callable[[], int]] = {
            "ours": partial(ours, network),
            "onnxruntime": partial(theirs, session),
        }
        rates = take_turns(ways, ROUNDS)
        ratios = [a / b for a, b in zip(rates["ours"], rates["onnxruntime"], strict=True)]
        told = ", ".join(f"{name} {spread(each)}" for name, each in rates.items())
        print(f"  {settings.rnn_size} x {settings.num_layers}: {told};", end=" ")
        print(f"ours {statistics.median(ratios):.1f} x, in the same round")


def ours(network: Model, count: int = 2000) -> int:
    """Takes the likeliest token again and again."""
    stepper = network.stepper(np.array([[1]]))
    for _ in range(count):
        stepper.step(stepper.logits.argmax(axis=1))
    return count


def theirs(session: Any, count: int = 2000) -> int:
    """The same by onnxruntime."""
    state = {i.name: np.zeros((1, i.shape[1]), np.float32) for i in session.get_inputs()[1:]}
    ids = np.array([[1]])
    for _ in range(count):
        logits, *after = session.run(None, {"ids": ids, **state})
        state = dict(zip(state, after, strict=True))
        ids = logits[:, -1].argmax(axis=1)[np.newaxis]
    return count


if __name__ == "__main__":
    main()
