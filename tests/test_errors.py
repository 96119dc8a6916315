"""One family of errors, each printable on one line."""

import inspect

import pytest

from noisewise import errors
from noisewise.errors import NoisewiseError, one_line


def test_every_error_is_of_the_family():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) == 6
    for cls in classes:
        assert issubclass(cls, NoisewiseError)
        assert cls.__doc__


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (NoisewiseError("a.wav: empty file"), "a.wav: empty file"),
        (ValueError("two\n  lines\tand   gaps "), "two lines and gaps"),
        (KeyError("name"), "'name'"),
        (RuntimeError(), "RuntimeError"),
        (OSError("\n"), "OSError"),
    ],
)
def test_one_line(error, line):
    assert one_line(error) == line
