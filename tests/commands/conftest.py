"""What the commands are tried on is what the packages below them are tried on."""

from tests.server.conftest import running
from tests.text.conftest import text_file

__all__ = ["running", "text_file"]
