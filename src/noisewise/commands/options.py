"""What several commands have in common: the options of a corpus, as `train` has them."""

from __future__ import annotations

import inspect
from typing import Any

from noisewise.corpora import synthetic
from noisewise.errors import ConfigError
from noisewise.recipe import DataConfig

PREFIX = "data.options."


def corpus_options(overrides: dict[str, Any] | None) -> dict[str, Any]:
    """Keyword arguments of `open_corpus` from ``--data.corpus`` and ``--data.options.KEY``.

    >>> corpus_options({"data.corpus": "speech_commands", "data.options.classes": 12})
    {'name': 'speech_commands', 'classes': 12}

    Raises:
        ConfigError: any other dotted option.
    """
    options: dict[str, Any] = {}
    for key, value in (overrides or {}).items():
        if key == "data.corpus":
            options["name"] = value
        elif key.startswith(PREFIX) and key.removeprefix(PREFIX) not in ("name", "root"):
            options[key.removeprefix(PREFIX)] = value
        else:
            raise ConfigError(f"--{key}: known are --data.corpus NAME and --{PREFIX}KEY VALUE")
    return options


def for_other_data(config: DataConfig) -> dict[str, Any]:
    """Changes to a recipe that is about the synthetic corpus, where another takes its place.

    >>> for_other_data(DataConfig(options={"size": "tiny"}))
    {'data.options': {}}
    >>> for_other_data(DataConfig(options={"classes": 12}))
    {}
    """
    own = set(inspect.signature(synthetic.load).parameters)
    if config.root is None and config.options and set(config.options) <= own:
        return {"data.options": {}}
    return {}
