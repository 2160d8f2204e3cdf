"""The JSON that goes in and out. The sampling settings are taken over from `SamplingSettings`."""

import dataclasses
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model, model_validator
from pydantic_core import PydanticCustomError

from textgen.settings.definitions import SamplingSettings
from textgen.settings.fields import fields_of, kind_of

NOT_OFFERED = frozenset({"beam_size"})
"""Settings that a request cannot have: a search is no text among others, written as it is made."""
DEFAULT_LENGTH = 200
MOST_ITEMS, LONGEST_TEXT = 32, 200
"""Of each list in a request: how many, and characters of each text."""
LARGEST = {"top_k": 1_000_000, "repetition_penalty": 1000, "repetition_window": 1000}
"""More than the settings themselves forbid. All texts that are written together need as much memory
as the one that looks back farthest."""
LARGEST_INTEGER = 2**53 - 1
"""The largest whole number that JavaScript has exactly."""
MOST_ALTERNATIVES = 20
IN_WORDS = {
    "length": "tokens (characters, subwords or words) to write",
    "temperature": "lower is safer, higher wilder, 0 always the likeliest; several take turns",
}
"""Where the words of the settings speak of what the command line alone can do."""

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT)]
Length = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]


def limits_of(field: "dataclasses.Field[Any]") -> dict[str, Any]:
    """Returns the range of a setting in a request, as pydantic says it."""
    bounds: dict[str, Any] = dict(field.metadata["bounds"])
    if field.name == "length":
        bounds["ge"] = 1  # a text of this service has an end
    if kind_of(field).item is int:
        bounds.setdefault("le", LARGEST_INTEGER)
    return bounds | ({"le": LARGEST[field.name]} if field.name in LARGEST else {})


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """Returns the default of a setting in a request."""
    if field.name == "length":
        return DEFAULT_LENGTH
    return list(field.default) if isinstance(field.default, tuple) else field.default


def type_of(field: "dataclasses.Field[Any]", lists: bool = True) -> Any:
    """Returns the type of a setting in a request.

    Args:
        field: of `SamplingSettings`.
        lists: whether a list may stand where a single value may.
    """
    kind, choices = kind_of(field), field.metadata["choices"]
    item: Any = Annotated[kind.item, Field(**limits_of(field))]
    if kind.item in (str, bool):
        item = Literal[choices] if choices else {str: ShortText, bool: bool}[kind.item]
    if kind.several and (lists or not kind.single):
        several = Annotated[list[item], Field(min_length=int(kind.single), max_length=MOST_ITEMS)]
        item = item | several if kind.single else several
    return item | None if field.default is None else item


def definitions(without: frozenset[str], lists: bool = True) -> dict[str, Any]:
    """Returns the sampling settings that are offered, as fields for pydantic's `create_model`."""
    return {
        field.name: (
            type_of(field, lists),
            Field(default_of(field), description=IN_WORDS.get(field.name, field.metadata["help"])),
        )
        for field in fields_of(SamplingSettings)
        if field.name not in without
    }


class Beginning(BaseModel):
    """The part of every request: who writes, and the text before."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: str | None = Field(
        None, max_length=200, description="one of /api/models; without it the first"
    )
    seed: str = Field("", description="the text to go on from")


Sampled: Any = create_model("Sampled", __base__=Beginning, **definitions(NOT_OFFERED))
FIRST: Any = Field(None, description="a token of the vocabulary that the text shall begin with")
OLD_NAMES = {"prompt": "seed", "n": "length"}
"""Still read for one release."""
OLD: Any = {"deprecated": True}


class Generate(Sampled):  # type: ignore[misc]
    """A request for a text. The service's settings limit `length` and the characters of `seed`."""

    first: ShortText | None = FIRST
    alternatives: int | None = Field(
        None,
        ge=1,
        le=MOST_ALTERNATIVES,
        description="tell every token's probability, and so many of the likeliest in its place",
    )
    stream: bool = Field(False, description="answer with server-sent events")
    prompt: str = Field("", description="the old name of seed", json_schema_extra=OLD)
    n: Length = Field(DEFAULT_LENGTH, description="the old name of length", json_schema_extra=OLD)

    @model_validator(mode="after")
    def take_old_names(self) -> Self:
        """Reads `prompt` as `seed` and `n` as `length`."""
        for old in self.old_names:
            new = OLD_NAMES[old]
            if new in self.model_fields_set:
                message = f"`{old}` is the old name of `{new}`: give one of them"
                raise PydanticCustomError("two_names", "{message}", {"message": message})
            setattr(self, new, getattr(self, old))
        return self

    @property
    def old_names(self) -> list[str]:
        """The old names that the request has."""
        return [old for old in OLD_NAMES if old in self.model_fields_set]

    def sampling(self, random_seed: int) -> SamplingSettings:
        """Returns the settings. Raises TextgenError."""
        values = self.model_dump(include=SamplingSettings.names() - NOT_OFFERED)
        return SamplingSettings.from_dict(values | {"random_seed": random_seed})


SAMPLE_MODES = ("argmax", "sample", "spaces")
"""By the number that the classic form has for them."""
OTHERWISE = frozenset({"length", "sample_mode"})
"""Settings with other names or values in the classic form."""

InAddress: Any = create_model(
    "InAddress",
    __config__=ConfigDict(allow_inf_nan=False),
    **definitions(NOT_OFFERED | OTHERWISE, lists=False),
)


class Classic(InAddress):  # type: ignore[misc]
    """The classic form of a request, in the address: `/?prime=The&n=200&sample_mode=2`."""

    prime: str = Field("", description="the text to go on from")
    n: Length = Field(DEFAULT_LENGTH, description=IN_WORDS["length"])
    sample_mode: int = Field(
        1, ge=0, le=2, description="0: always the likeliest token; 1: draw; 2: draw after spaces"
    )
    first: ShortText | None = FIRST
    model: str | None = Field(None, max_length=200)

    def in_full(self) -> Generate:
        """Returns the request that this stands for."""
        same: dict[str, Any] = self.model_dump(exclude={"prime", "n", "sample_mode"})
        mode = SAMPLE_MODES[self.sample_mode]
        return Generate(seed=self.prime, length=self.n, sample_mode=mode, **same)


def settings_schema(max_length: int) -> dict[str, Any]:
    """Returns a JSON Schema of each sampling setting that a request may have, by name, in order.

    Args:
        max_length: the largest `length`.
    """
    offered = create_model("Offered", **definitions(NOT_OFFERED))
    schemas: dict[str, Any] = offered.model_json_schema()["properties"]
    schemas["length"]["maximum"] = max_length
    group = ""
    for field in fields_of(SamplingSettings):
        group = field.metadata["group"] or group
        if field.name in schemas:
            schemas[field.name]["group"] = group  # what it has to do with
    return schemas


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
    """Facts known before the first token: the data of the event `start`."""

    model: str
    random_seed: int = Field(description="the number that makes this text again")


class Generated(Outcome, Start):
    """The answer without `stream`."""

    text: str = Field(description="what was written, without the seed")
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
    labels: list[str] | None = Field(None, description="those that `label` may be, the commonest")


class ModelList(BaseModel):
    """All models; the first one is the default."""

    models: list[ModelShown]
    max_length: int
    max_seed_length: int
    documentation: str | None = Field(description="the page that describes the API, if any")


class Health(BaseModel):
    """The answer of /healthz."""

    status: Literal["ok", "closing"]


class Problem(BaseModel):
    """The answer to a request that cannot be served."""

    error: str = Field(description="what is wrong, in words")
