"""Keys for the time of a run: code that reads its keys from the environment finds some there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from simsla.routing.production.keys import OPENAI_KEY_ENV

if TYPE_CHECKING:
    from simsla.routing import Deployment


@contextlib.contextmanager
def keys_in_environment(deployments: Sequence[Deployment]) -> Iterator[None]:
    """Give each variable that an `api_key_env` names, and that is not set, a made-up key meanwhile.

    A deployment at OpenAI's own address is called with OPENAI_API_KEY, as in production. So a policy needs no
    key to be simulated, and deployments with variables of their own can be told apart. An `Endpoint` must be
    made within, for it reads the keys when it is made.
    """
    names = {
        OPENAI_KEY_ENV if each.api_key_env is None and each.base_url is None else each.api_key_env
        for each in deployments
    }
    missing = [name for name in sorted(filter(None, names)) if not os.environ.get(name, "").strip()]
    before = {name: os.environ.get(name) for name in missing}
    os.environ.update({name: f"simulated-{name}" for name in missing})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
