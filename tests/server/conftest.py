"""A service in this process, and one as users run it, with the model that the session trained."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.services import Running, serving
from textgen.server import ServerSettings
from textgen.server.app import build_app
from textgen.server.service import Service

LIMITS = ServerSettings(max_length=2000, max_seed_length=5000)


@pytest.fixture
def client(trained_dir: Path) -> Iterator[TestClient]:
    with TestClient(build_app(Service([trained_dir], LIMITS))) as client:
        yield client


@pytest.fixture(scope="session")
def running(trained_dir: Path) -> Iterator[Running]:
    with serving(trained_dir) as service:
        yield service
