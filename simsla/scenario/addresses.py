"""Where a deployment is called over HTTP, and with which key."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, PlainSerializer, PlainValidator, SecretStr, WithJsonSchema

from simsla.scenario.fields import refuse

__all__ = ["BaseUrl", "MadeUpKey"]


def base_url(value: str) -> str:
    """An address of http or https, without a query."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if (
        not usable
        or parts.query
        or parts.fragment
        or parts.username is not None
        or any(map(str.isspace, value))
    ):
        raise refuse("a base URL such as https://gateway.example/v1", value)
    return value


def made_up_key(value: object) -> SecretStr:
    """Any text that can stand in a header; the error about another one does not show it."""
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str) or not value.strip() or not (value.isascii() and value.isprintable()):
        raise refuse("a made-up key: a text that can stand in an HTTP header", "a value that is not shown")
    return SecretStr(value.strip())


BaseUrl = Annotated[str, AfterValidator(base_url)]
MadeUpKey = Annotated[
    SecretStr,
    PlainValidator(made_up_key),
    PlainSerializer(SecretStr.get_secret_value, return_type=str),
    WithJsonSchema({"type": "string"}),
]
