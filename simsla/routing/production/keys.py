"""API keys: read from the environment, sent to their server, and shown nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from simsla.routing.errors import ConfigError, nearest
from simsla.routing.types import Deployment

NO_KEY: Final = "none"
"""Sent where a deployment needs no key: the SDK must have one, and would look for OpenAI's."""

OPENAI_KEY_ENV: Final = "OPENAI_API_KEY"
"""Where the key of a deployment without an address of its own is: it is served by OpenAI itself."""

_HIDDEN: Final = "[key]"

# Shorter ones would blank out ordinary words of an error's text.
_SHORTEST_SECRET: Final = 6


def read_keys(deployments: Sequence[Deployment], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Deployment -> key, from the variables that ``api_key_env`` names.

    Raises `ConfigError` naming the variable where it is not set or empty.
    """
    environ = os.environ if environ is None else environ
    keys = {}
    for deployment in deployments:
        variable = deployment.api_key_env
        if variable is None and deployment.base_url is None:
            variable = OPENAI_KEY_ENV
        if variable is None:
            keys[deployment.name] = NO_KEY
            continue
        key = environ.get(variable, "").strip()
        # What cannot stand in a header would be told by the error about it.
        if not key or not key.isascii() or not key.isprintable():
            expected = "the name of an environment variable that holds a key"
            known = [name for name in environ if name != variable]
            path = f"deployments.{deployment.name}.api_key_env"
            raise ConfigError(path, variable, expected, nearest(variable, known))
        keys[deployment.name] = key
    return keys


class Scrubber:
    """Takes keys out of texts that come from elsewhere, such as a server's error messages."""

    __slots__ = ("_secrets",)

    def __init__(self, keys: Iterable[str]) -> None:
        # The longest first: one may be a part of another.
        secrets = {key for key in keys if len(key) >= _SHORTEST_SECRET}
        self._secrets = tuple(sorted(secrets, key=lambda key: (-len(key), key)))

    def __call__(self, text: str) -> str:
        """The text without any key."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text

    def __repr__(self) -> str:
        return f"<Scrubber of {len(self._secrets)} keys>"
