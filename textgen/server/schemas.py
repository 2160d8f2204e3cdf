"""What goes in and out as JSON. Ranges and meanings of the controls are those of sample.py."""

import dataclasses
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from textgen.settings.definitions import SamplingSettings

MOST_TEXTS, LONGEST_TEXT = 32, 200
"""Of each list of texts in a request: how many, and characters of each."""
MOST_TEMPERATURES = 32
WIDEST_WINDOW = 1000
"""All texts that are written together need as much memory as the one that looks back farthest."""
MOST_ALTERNATIVES = 20
LARGEST_SEED = 2**53 - 1
"""The largest whole number that JavaScript has exactly."""
BOUNDS = {"at least": "ge", "above": "gt", "at most": "le", "below": "lt"}

_FIELDS = {field.name: field for field in dataclasses.fields(SamplingSettings)}


def bounds(name: str) -> dict[str, Any]:
    """The range of a field of `SamplingSettings`, as pydantic says it."""
    return {BOUNDS[words]: bound for words, bound in _FIELDS[name].metadata["bounds"].items()}


def control(name: str, **limits: Any) -> Any:
    """A field like the one of `SamplingSettings`, with some more limits."""
    field = _FIELDS[name]
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    described = field.metadata["help"].partition("; repeat the flag")[0].replace("--", "")
    return Field(default=default, description=described, **bounds(name) | limits)


ShortText = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT)]
Temperature = Annotated[float, Field(**bounds("temperature"))]
Temperatures = Annotated[list[Temperature], Field(min_length=1, max_length=MOST_TEMPERATURES)]
TEMPERATURE = cast(float, SamplingSettings.temperature)
LENGTH: Any = Field(200, ge=1, description="tokens (characters or words) to write")
FIRST: Any = Field(None, description="a token of the vocabulary that the text shall begin with")


class Generate(BaseModel):
    """What to write. `n` is limited by the service's settings, and so is the prompt."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: str | None = Field(
        None, max_length=200, description="one of /api/models; without it the first"
    )
    prompt: str = Field("", description="the text to go on from")
    n: int = LENGTH
    temperature: Temperature | Temperatures = Field(
        TEMPERATURE,
        description="lower is safer, higher wilder; several take turns",
    )
    top_k: int | None = control("top_k", le=1_000_000)
    top_p: float | None = control("top_p")
    min_p: float | None = control("min_p")
    repetition_penalty: float = control("repetition_penalty", le=1000)
    repetition_window: int = control("repetition_window", le=WIDEST_WINDOW)
    sample_mode: Literal["sample", "argmax", "spaces"] = control("sample_mode")
    stop: list[ShortText] = control("stop", max_length=MOST_TEXTS)
    until_paragraph: bool = control("until_paragraph")
    ban: list[ShortText] = control("ban", max_length=MOST_TEXTS)
    force: list[ShortText] = control("force", max_length=MOST_TEXTS)
    random_seed: int | None = control("random_seed", le=LARGEST_SEED)
    first: ShortText | None = FIRST
    alternatives: int | None = Field(
        None,
        ge=1,
        le=MOST_ALTERNATIVES,
        description="tell every token's probability, and so many of the likeliest in its place",
    )
    stream: bool = Field(False, description="answer with server-sent events")

    def sampling(self, random_seed: int) -> SamplingSettings:
        """The settings. Raises TextgenError."""
        values = {name: value for name, value in self.model_dump().items() if name in _FIELDS}
        return SamplingSettings.from_dict(values | {"length": self.n, "random_seed": random_seed})


SAMPLE_MODES = ("argmax", "sample", "spaces")
"""By the number that the classic form has for them."""


class Classic(BaseModel):
    """The classic form of a request, in the address: `/?prime=The&n=200&sample_mode=2`."""

    model_config = ConfigDict(allow_inf_nan=False)

    prime: str = Field("", description="the text to go on from")
    n: int = LENGTH
    sample_mode: int = Field(
        1, ge=0, le=2, description="0: always the likeliest token; 1: draw; 2: draw after spaces"
    )
    temperature: Temperature = Field(TEMPERATURE, description="lower is safer, higher wilder")
    top_k: int | None = control("top_k", le=1_000_000)
    top_p: float | None = control("top_p")
    random_seed: int | None = control("random_seed", le=LARGEST_SEED)
    first: ShortText | None = FIRST
    model: str | None = Field(None, max_length=200)

    def in_full(self) -> Generate:
        """The request that this stands for."""
        same: dict[str, Any] = self.model_dump(exclude={"prime", "sample_mode"})
        same["sample_mode"] = SAMPLE_MODES[self.sample_mode]
        return Generate(prompt=self.prime, **same)


class TokenShown(BaseModel):
    """A token and what the model thought of it, before temperature and filters."""

    text: str = Field(description="what it added to the text")
    probability: float
    alternatives: list[tuple[str, float]] = Field(
        description="the likeliest tokens in its place, likeliest first, with theirs"
    )


FinishReason = Literal["length", "stop", "seconds", "shutdown"]


class Outcome(BaseModel):
    """How a text ended: the data of the event `done`."""

    tokens: int
    finish_reason: FinishReason
    seconds: float = Field(description="from the request to the last token")


class Start(BaseModel):
    """What is known before the first token: the data of the event `start`."""

    model: str
    random_seed: int = Field(description="the number that makes this text again")


class Generated(Outcome, Start):
    """The answer without `stream`."""

    text: str = Field(description="what was written, without the prompt")
    details: list[TokenShown] | None = None


class ModelShown(BaseModel):
    """A model that is served."""

    name: str
    ready: bool = Field(description="false until a training has written the first one")
    watched: bool
    unit: str | None = Field(None, description="what a token is: character or word")
    vocabulary_size: int | None = None
    cell: str | None = None
    layers: list[int] | None = None
    results: dict[str, float] | None = None
    line_starts: list[str] | None = None


class ModelList(BaseModel):
    """All models; the first one is the default."""

    models: list[ModelShown]
    max_length: int
    max_prompt: int
    documentation: str | None = Field(description="the page that describes the API, if any")


class Health(BaseModel):
    """The answer of /healthz."""

    status: Literal["ok", "closing"]


class Problem(BaseModel):
    """The answer to a request that cannot be served."""

    error: str = Field(description="what is wrong, in words")
