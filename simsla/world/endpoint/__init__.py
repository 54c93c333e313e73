"""The world's HTTP face: OpenAI-compatible servers for policies that have their own HTTP clients."""

from simsla.world.endpoint.addresses import NAMED_BY_KEY, OPENAI_URL
from simsla.world.endpoint.endpoint import Endpoint
from simsla.world.endpoint.keys import keys_in_environment

__all__ = ["NAMED_BY_KEY", "OPENAI_URL", "Endpoint", "keys_in_environment"]
