import pytest

from noisewise.commands.options import corpus_options
from noisewise.errors import ConfigError


def test_options_of_the_corpus():
    assert corpus_options(None) == corpus_options({}) == {}
    given = {"data.corpus": "folder", "data.options.label_pattern": "(a)", "data.options.task": "t"}
    assert corpus_options(given) == {"name": "folder", "label_pattern": "(a)", "task": "t"}


@pytest.mark.parametrize(
    "key",
    ["data.root", "phases.0.steps", "data.options", "data.options.name", "data.options.root"],
)
def test_anything_else_is_refused(key):
    with pytest.raises(ConfigError, match=rf"--{key}: known are --data\.corpus NAME"):
        corpus_options({key: 1})
