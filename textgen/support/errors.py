"""The exceptions whose message is all that the user needs to see."""


class TextgenError(ValueError):
    """A mistake the user can mend: a value, a file or a folder that will not do.

    The message is one line that names the value received and says what to do about it.
    Library code raises it; only the entry points print it and exit, with this code.
    """

    exit_code = 2


class WorkerLostError(TextgenError):
    """Another machine of the same training is gone: no mistake of this command, so exit code 1."""

    exit_code = 1
