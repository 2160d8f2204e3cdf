"""Schemathesis: whatever the description of the API allows, and what it does not, is answered."""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.services import serving

pytestmark = pytest.mark.xdist_group("openapi")

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


PATHS = ("/", "/api/generate", "/api/models", "/api/settings", "/api/live", "/healthz", "/metrics")


@pytest.fixture(scope="module")
def operations(trained_dir: Path):
    """By address, what can be done there."""
    with serving(trained_dir, flags=("--max-length", "50", "--max-seed-length", "300")) as service:
        schema = schemathesis.openapi.from_url(service.address + "/openapi.json")
        found = [result.ok() for result in schema.get_all_operations()]
        yield {operation.path: operation for operation in found}
        assert not [line for line in service.log if "traceback" in line]


def test_everything_is_described(operations) -> None:
    assert set(operations) == set(PATHS)


TAKING = ("/", "/api/generate", "/api/live")
"""Where values are taken, which may be wrong."""
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
WAYS = [*((path, POSITIVE) for path in PATHS), *((path, NEGATIVE) for path in TAKING)]


@pytest.mark.parametrize(("path", "mode"), WAYS)
def test_whatever_is_sent_gets_its_answer(operations, path: str, mode) -> None:
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operations[path].as_strategy(generation_mode=mode))
    def send(case) -> None:
        case.validate_response(case.call(), checks=CHECKS)

    send()
