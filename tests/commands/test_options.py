import pytest

from noisewise.commands.options import corpus_options, for_other_data
from noisewise.errors import ConfigError
from noisewise.recipe import DataConfig, load_recipe


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


@pytest.mark.parametrize("options", [{"size": "tiny"}, {"size": "tiny", "takes": 3}])
def test_options_of_the_synthetic_corpus_are_for_no_other(options):
    config = DataConfig(options=options)
    changes = for_other_data(config)
    recipe = load_recipe("sv-naw", {"data.options": options} | changes)
    assert recipe.data.options == {}
    wanted = changes | {"data.options.classes": 12}  # what is asked for comes after
    assert load_recipe("sv-naw", wanted).data.options == {"classes": 12}


def test_other_options_stay():
    for config in (
        DataConfig(),
        DataConfig(options={"classes": 12}),
        DataConfig(options={"classes": 12, "size": "tiny"}),
        DataConfig(root="here", options={"size": "tiny"}),
    ):
        assert for_other_data(config) == {}
