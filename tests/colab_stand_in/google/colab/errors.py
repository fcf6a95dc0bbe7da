"""As in google.colab.errors."""


class Error(Exception):
    """Base class of most of Colab's errors."""
