"""Requests that cannot be served, as answers: a status and a line in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.responses import JSONResponse

PLAIN = {
    "model_attributes_type": "send a JSON object, with the header Content-Type: application/json",
    "extra_forbidden": "there is no control of this name",
}
"""What to say instead of pydantic's own words, by its name of the mistake."""


class RefusedError(Exception):
    """A request that is not served.

    Args:
        status: the HTTP status.
        problem: what is wrong, and what would be right.
        retry_after: seconds after which to try again, where that may help.
        headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        problem: str,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem)
        self.status, self.problem, self.retry_after = status, problem, retry_after
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def answer(self) -> JSONResponse:
        """The answer."""
        return JSONResponse({"error": self.problem}, self.status, self.headers)


def in_words(errors: Sequence[Any]) -> str:
    """What pydantic found wrong, without what was sent: that may be long, or no JSON."""
    problems = []
    for error in errors:
        place = ".".join(str(part) for part in error["loc"][1:] if isinstance(part, str | int))
        problem = PLAIN.get(error["type"], error["msg"][:200])
        problems.append(f"{place[:100]}: {problem}" if place else problem)
    return "; ".join(dict.fromkeys(problems[:5]))
