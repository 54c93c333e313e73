"""Which deployment a call over HTTP is meant for: by base URL, model and key."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from simsla.routing.errors import nearest
from simsla.routing.production.keys import OPENAI_KEY_ENV

if TYPE_CHECKING:
    from simsla.routing import Deployment
    from simsla.scenario.deployments import DeploymentSpec

OPENAI_URL: Final = "https://api.openai.com/v1"
"""The address of a deployment without one of its own, as in production."""

NAMED_BY_KEY: Final = "simsla-deployment:"
"""What a key begins with that is none, but means a deployment, whose percent-encoded name follows."""

_PORTS: Final = {"http": 80, "https": 443}

_CHAT: Final = re.compile(r"(?:.*/)?(?:deployments/(?P<model>[^/]+)/)?chat/completions")
_MODELS: Final = re.compile(r"(?:.*/)?models(?:/(?P<model>.+))?")


class Refused(Exception):  # noqa: N818 - it becomes an answer
    """A call that reaches no deployment: the answer's status, and its `error.code` and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class UnknownAddress(Exception):  # noqa: N818 - it becomes a client's own exception
    """A call to an address that the scenario does not have."""


class Place(NamedTuple):
    """An address of the scenario: where it is, and the deployments there in order."""

    url: str
    deployments: Sequence[Deployment]


class Target(NamedTuple):
    """What a URL asks for: "chat", "models", or None for anything else; and the model that it names."""

    place: Place
    path: str
    kind: str | None
    model: str | None


class Addresses:
    """The addresses, models and keys of a scenario's deployments.

    A deployment is at its `base_url`, by default OpenAI's own; it is asked for by its model, or by its own
    name; of several, the one whose key the call bears is meant. Keys are kept here and shown nowhere.
    """

    def __init__(
        self,
        deployments: Sequence[Deployment],
        specs: Sequence[DeploymentSpec] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`specs` have the keys that stand in the scenario; the others are read from `environ` here."""
        environ = os.environ if environ is None else environ
        written = {spec.name: spec.api_key for spec in specs}
        self._keys: dict[str, str | None] = {}
        places: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            key = written.get(deployment.name)
            variable = deployment.api_key_env
            if variable is None and deployment.base_url is None:
                variable = OPENAI_KEY_ENV
            if key is not None:
                self._keys[deployment.name] = key.get_secret_value()
            else:
                self._keys[deployment.name] = environ.get(variable, "").strip() or None if variable else None
            places.setdefault(canonical(deployment.base_url or OPENAI_URL), []).append(deployment)
        # The longest first: one may lie within another.
        self._places = [Place(url, tuple(places[url])) for url in sorted(places, key=len, reverse=True)]
        self._found: dict[tuple[str, str | None, str | None], Deployment] = {}

    def __repr__(self) -> str:
        return f"<Addresses {', '.join(place.url for place in self._places)}>"

    def target(self, url: str) -> Target:
        """What a URL asks for. Raises UnknownAddress, naming the nearest deployment."""
        try:
            address = canonical(url)
        except ValueError as error:
            raise UnknownAddress(str(error)) from None
        for place in self._places:
            if address == place.url or address.startswith(f"{place.url}/"):
                path = address[len(place.url) + 1 :]
                for kind, pattern in (("chat", _CHAT), ("models", _MODELS)):
                    if match := pattern.fullmatch(path):
                        return Target(place, path, kind, match["model"])
                return Target(place, path, None, None)
        raise UnknownAddress(f"the scenario has nothing at {address}{self._hint(address)}")

    def _hint(self, address: str) -> str:
        urls = {place.url: place for place in self._places}
        near = nearest(address, urls) or next(
            (url for url in urls if urlsplit(url).netloc == urlsplit(address).netloc), None
        )
        if near is None:
            hosts = {urlsplit(url).netloc: url for url in urls}
            near = hosts.get(nearest(urlsplit(address).netloc, hosts) or "")
        if near is None:
            shown = [f"{place.deployments[0].name!r} at {place.url}" for place in self._places[:3]]
            return f"; it has {', '.join(shown)}" + (" and others" if len(self._places) > 3 else "")
        names = ", ".join(repr(deployment.name) for deployment in urls[near].deployments[:3])
        return f"; did you mean {near} (deployment {names})?"

    def deployment(self, place: Place, model: str | None, key: str | None) -> Deployment:
        """The one that is meant. Raises Refused where there is none, or where more than one could be."""
        try:
            return self._found[place.url, model, key]
        except KeyError:
            found = self._search(place, model, key)
            if len(self._found) < 10_000:  # models and keys are few, unless somebody makes them up
                self._found[place.url, model, key] = found
            return found

    def _search(self, place: Place, model: str | None, key: str | None) -> Deployment:
        if key is not None and key.startswith(NAMED_BY_KEY):
            name = unquote(key.removeprefix(NAMED_BY_KEY))
            for each in place.deployments:
                if each.name == name:
                    return each
        able = [each for each in place.deployments if model in (each.model, each.name, None)]
        if not able:
            names = dict.fromkeys(name for each in place.deployments for name in (each.model, each.name))
            hint = nearest(model, names)
            meant = f"; did you mean {hint!r}?" if hint else f"; it has {', '.join(map(repr, names))}"
            raise Refused(404, "model_not_found", f"{place.url} has no model {model!r}{meant}")
        by_name = [each for each in able if each.name == model]
        keys = self._keys
        for meant_ones in (by_name, able):
            fitting = [each for each in meant_ones if keys[each.name] is not None and keys[each.name] == key]
            open_ones = [each for each in meant_ones if keys[each.name] is None]
            for choice in (fitting, open_ones):
                if len(choice) == 1 or (choice and model is None):
                    return choice[0]
                if choice:
                    raise Refused(
                        400,
                        "ambiguous_deployment",
                        f"{_names(choice)} all answer to model {model!r} at {place.url} with this key; give "
                        "each a base_url, an api_key or an api_key_env of its own in the scenario",
                    )
        raise Refused(
            401, "invalid_api_key", f"the key of the call is none of those of {_names(able)} at {place.url}"
        )


def _names(deployments: Sequence[Deployment]) -> str:
    return ", ".join(repr(deployment.name) for deployment in deployments)


def canonical(url: str) -> str:
    """A URL without what makes no difference: case of its host, default port, query, trailing slashes.

    Raises ValueError where it is none of http or https.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"not an http or https URL: {url!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
    path = "/".join(part for part in parts.path.split("/") if part)
    return f"{parts.scheme}://{host}{port}" + (f"/{path}" if path else "")
