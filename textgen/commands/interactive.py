"""`sample.py --interactive`: the likeliest next tokens are shown, and a person picks one.

Works in a plain terminal, by lines. What is shown goes to standard error.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TextIO

from textgen.generation.generator import Generator
from textgen.settings.definitions import SamplingSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import documents
from textgen.tokens.tokenizer import ends_sentence

HELP = (
    "number: take it   text: add your own (a leading space counts)   Enter: draw one"
    "   .: write a sentence   <: go back   ?: help   q: end"
)

LONGEST_SENTENCE = 400
"""Tokens after which a sentence is taken to be over."""


def ask(prompt: str) -> str:
    """Returns a line that the person types.

    Raises:
        EOFError: where there is no more.
        TextgenError: if it is no text.
    """
    print(prompt, end="", file=sys.stderr, flush=True)
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError as error:
        raise TextgenError(
            f"standard input is not {error.encoding} (byte 0x{error.object[error.start]:02x}). Set"
            " PYTHONIOENCODING to its encoding"
        ) from error
    if not line:
        print(file=sys.stderr)  # the text begins on a line of its own
        raise EOFError
    return line.rstrip("\r\n")


class Interactive:
    """A text that a person and a model write together.

    Args:
        generator: the model.
        seed: the text to begin with.
        settings: how the model draws when it is asked to.
        choices: how many next tokens to show.
        ask: reads a line from the person; raises EOFError at the end of input.
    """

    def __init__(
        self,
        generator: Generator,
        seed: str,
        settings: SamplingSettings,
        choices: int,
        ask: Callable[[str], str] = ask,
    ) -> None:
        self._generator, self._settings = generator, settings
        self._choices, self._ask = choices, ask
        self._texts = [seed]

    @property
    def text(self) -> str:
        """The text so far, seed included."""
        return self._texts[-1]

    @property
    def written(self) -> str:
        """The text so far, without the seed."""
        return self.text[len(self._texts[0]) :]

    def write(self, echo: str, stream: TextIO) -> None:
        """Lets the person choose, and writes the text when they are done, or stopped by Ctrl-C."""
        try:
            self.run()
        finally:
            stream.write(echo + self.written + "\n")

    def run(self) -> None:
        """Lets the person choose until they end."""
        console.say(HELP, "dim")
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Shows the choices and does what is answered; returns False at the end.

        Text that leaves no choice, such as before a word spaces alone, is taken back.
        """
        try:
            found = self._generator.next_tokens(self.text, self._choices, self._settings)
        except TextgenError as error:
            if len(self._texts) == 1:
                raise
            console.say(f"{error}. Going back")
            self._go_back()
            return True
        console.say("\n" + console.paint(self.text, "cyan"))
        for number, (token, probability) in enumerate(found, start=1):
            console.say(f"{number:>3}  {probability:6.1%}  {token!r}")
        try:
            answer = self._ask("> ")
        except EOFError:
            return False
        if answer == "q":
            return False
        if answer == "?":
            console.say(HELP, "dim")
        elif answer == "<":
            self._go_back()
        else:
            return self._add(answer, [token for token, _ in found])
        return True

    def _go_back(self) -> None:
        if len(self._texts) == 1:
            console.say("this is the beginning")
        else:
            self._texts.pop()

    def _add(self, answer: str, tokens: list[str]) -> bool:
        """Adds what is answered to the text; returns False where that is its end."""
        if answer == "":
            new = "".join(self._drawn(1))
        elif answer == ".":
            new = self._sentence()
        elif answer.isdecimal():
            if not 1 <= int(answer) <= len(tokens):
                console.say(f"choose a number from 1 to {len(tokens)}. Received: {answer}")
                return True
            token = tokens[int(answer) - 1]
            if token == documents.END:
                return False
            if token in self._generator.tokenizer.marks:
                label = documents.Document.parse(token).label
                self._settings = replace(self._settings, label=label)
                return True
            new = self._spelled(token)
        else:
            new = answer
        if new == "" and self._generator.tokenizer.marks:
            console.say("the model would end the text here, or give it a label; q ends it")
        self._texts.append(self.text + new)
        return True

    def _spelled(self, token: str) -> str:
        """Returns what a choice adds to the text so far."""
        begun = self._generator.tokenizer.prompt(self.text)
        # Where the text may end within a token, what is shown is what comes after it.
        return token if begun.typed else begun.decoder.push(token)

    def _sentence(self) -> str:
        new = ""
        for piece in self._drawn(LONGEST_SENTENCE):
            new += piece
            if new.strip() and ends_sentence(piece):
                break
        return new

    def _drawn(self, length: int) -> Iterator[str]:
        """Yields what the model writes next; every turn draws with another random seed."""
        number = self._settings.random_seed
        seed = None if number is None else number + len(self._texts) - 1
        settings = replace(
            self._settings, length=length, random_seed=seed, force=(), beam_size=None
        )
        return (piece.text for piece in self._generator.pieces(self.text, settings))
