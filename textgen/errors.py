"""The one exception that stands for a mistake its user can mend."""


class TextgenError(Exception):
    """A mistake the user can mend.

    The message is one line that names the value received and says what to do about it.
    Library code raises it; only the entry points print it and exit with code 2.
    """
