"""What several commands have in common: the options of a corpus, as `train` has them."""

from __future__ import annotations

from typing import Any

from noisewise.errors import ConfigError

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
