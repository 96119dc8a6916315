"""The errors noisewise raises: each names the file or value and the rule that it broke."""

from __future__ import annotations


class NoisewiseError(Exception):
    """Base of every error that noisewise raises on purpose.

    The command line prints its message as one line and exits with status 2.
    """


class AudioError(NoisewiseError):
    """An audio file or signal that cannot be used; the message names it and says why."""


class CorpusError(NoisewiseError):
    """A corpus that is missing, incomplete or inconsistent; says what was expected where."""


class ConfigError(NoisewiseError):
    """A recipe, option or argument that is unknown, contradictory or out of range."""


class BundleError(NoisewiseError):
    """A run folder that is incomplete, tampered with or unsafe to open."""


class DownloadError(NoisewiseError):
    """A download that failed, or whose checksum does not match."""


def one_line(error: BaseException) -> str:
    """The message of ``error`` on a single line, with its type where it has no message."""
    return " ".join(str(error).split()) or type(error).__name__
