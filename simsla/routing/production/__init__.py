"""The transport of production: any server that speaks the OpenAI chat protocol."""

from simsla.routing.production.openai_transport import OpenAITransport

__all__ = ["OpenAITransport"]
