"""The bytes of the OpenAI chat protocol: what is asked, completions, events of a stream, errors."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from simsla.routing.errors import (
    AttemptError,
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    ContextLengthExceeded,
    NotFound,
    RateLimited,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from simsla.routing import Deployment

JSON: Final = ("content-type", "application/json")
EVENTS: Final = ("content-type", "text/event-stream; charset=utf-8")

DONE: Final = b"data: [DONE]\n\n"

JSON_OBJECT: Final = ('{\\"text\\":\\"', '\\"}')
"""What stands before and after the words of an answer that is to be a JSON object, escaped once."""

# Words shorter than this hardly are words of a language that puts spaces between them.
_CHARACTERS_PER_TOKEN: Final = 8

_SAID: Final[dict[type[AttemptError], tuple[str, str | None, str]]] = {
    ContextLengthExceeded: (
        "invalid_request_error",
        "context_length_exceeded",
        # Code such as litellm's knows it by these words alone.
        "This model's maximum context length is less than the prompt and the answer. Please shorten them.",
    ),
    ContentFiltered: (
        "invalid_request_error",
        "content_filter",
        "Your request was rejected as a result of the safety system.",
    ),
    BadRequest: ("invalid_request_error", None, "The request cannot be processed."),
    AuthenticationFailed: ("invalid_request_error", "invalid_api_key", "Incorrect API key."),
    NotFound: ("invalid_request_error", "model_not_found", "The model does not exist."),
    RateLimited: ("requests", "rate_limit_exceeded", "Rate limit reached."),
    ServiceUnavailable: ("server_error", None, "The engine is currently overloaded."),
}
"""The `type`, `code` and `message` of an error's body, the most special class first."""


class Asked:
    """What a body of chat/completions asks for.

    `prompt_tokens` counts all messages, `prefix_tokens` the last one where it is an answer to be continued.
    """

    __slots__ = ("counts", "json_object", "max_tokens", "model", "prefix_tokens", "prompt_tokens", "stream")

    def __init__(self, body: bytes) -> None:
        """Raises ValueError, which says what is wrong, for a body that asks for nothing."""
        try:
            data = json.loads(body)
        except ValueError:
            raise ValueError("the body is not JSON") from None
        if not isinstance(data, dict):
            raise ValueError("the body is not a JSON object")
        model, messages = data.get("model"), data.get("messages")
        if model is not None and not isinstance(model, str):
            raise ValueError("'model' is not a text")
        if not isinstance(messages, list) or not messages:
            raise ValueError("'messages' is not a list with at least one message")
        self.model: str | None = model
        self.prompt_tokens = 0
        self.prefix_tokens = 0
        for message in messages:
            if not isinstance(message, dict):
                raise ValueError("a message is not an object")
            content = message.get("content")
            tokens = text_tokens(content) if isinstance(content, str) else _tokens(content)
            self.prompt_tokens += tokens
        if message.get("role") == "assistant":
            self.prefix_tokens = tokens
        most = data.get("max_completion_tokens")
        if most is None:
            most = data.get("max_tokens")
        if most is not None and (not isinstance(most, int) or most < 1):
            raise ValueError("'max_tokens' is not a whole number above 0")
        self.max_tokens: int | None = most
        if data.get("n") not in (None, 1):
            raise ValueError("'n' is not 1: an answer here has one choice")
        self.stream = data.get("stream") is True
        self.counts = self.stream and bool((data.get("stream_options") or {}).get("include_usage"))
        wanted = data.get("response_format")
        self.json_object = isinstance(wanted, dict) and wanted.get("type") == "json_object"


def text_tokens(text: str) -> int:
    """A token for each word, as in the texts of simulated requests; long words count for more than one."""
    return max(len(text.split()), len(text) // _CHARACTERS_PER_TOKEN)


def _tokens(content: Any) -> int:
    if content is None:
        return 0
    if not isinstance(content, list):
        raise ValueError("the content of a message is neither a text nor a list of parts")
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return sum(text_tokens(text) for text in texts if isinstance(text, str))


class Voice:
    """How one deployment speaks: what is the same in all its answers is made once."""

    __slots__ = ("_chunk", "_whole")

    def __init__(self, deployment: Deployment) -> None:
        model = json.dumps(deployment.model).replace("%", "%%")
        common = f'"created":%d,"model":{model},'
        self._whole = (
            f'{{"id":"chatcmpl-%s","object":"chat.completion",{common}"choices":[{{"index":0,"message":'
            '{"role":"assistant","content":"%s","refusal":null},"logprobs":null,"finish_reason":"%s"}],"usage":%s}'
        )
        self._chunk = (
            f'data: {{"id":"chatcmpl-%s","object":"chat.completion.chunk",{common}"choices":[%s]%s}}\n\n'
        )

    def completion(
        self, number: str, created: int, tokens: Sequence[int], finish_reason: str, json_object: bool
    ) -> bytes:
        """A whole answer of `tokens` (in, out), a word for each of them."""
        words = ("word " * tokens[1])[:-1]
        if json_object:
            words = words.join(JSON_OBJECT)
        return (self._whole % (number, created, words, finish_reason, _usage(*tokens))).encode()

    def opening(self, number: str, created: int) -> bytes:
        """The first event of a stream."""
        choice = '{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}'
        return (self._chunk % (number, created, choice, "")).encode()

    def piece(self, number: str, created: int, text: str) -> bytes:
        """The event of a piece of text."""
        choice = f'{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}'
        return (self._chunk % (number, created, choice, "")).encode()

    def ending(self, number: str, created: int, finish_reason: str, usage: Sequence[int] | None) -> bytes:
        """The last events: why it ends, the tokens (in, out) where they are asked for, the end itself."""
        choice = f'{{"index":0,"delta":{{}},"finish_reason":"{finish_reason}"}}'
        end = self._chunk % (number, created, choice, "")
        if usage is not None:
            end += self._chunk % (number, created, "", f',"usage":{_usage(*usage)}')
        return end.encode() + DONE


def _usage(tokens_in: int, tokens_out: int) -> str:
    return (
        f'{{"prompt_tokens":{tokens_in},"completion_tokens":{tokens_out},'
        f'"total_tokens":{tokens_in + tokens_out}}}'
    )


def error_body(kind: str, code: str | None, message: str) -> bytes:
    """The body of an answer that is an error."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


def of_error(error: AttemptError) -> tuple[int, list[tuple[str, str]], bytes]:
    """The status, the headers and the body by which a deployment tells of an error."""
    said = next((said for each, said in _SAID.items() if isinstance(error, each)), None)
    headers = [JSON]
    if error.headers:
        headers += error.headers.items()
    if error.retry_after_s is not None:
        # Whole seconds are the standard; OpenAI tells parts of them besides.
        headers.append(("retry-after", str(math.ceil(error.retry_after_s))))
        if error.retry_after_s != int(error.retry_after_s):
            headers.append(("retry-after-ms", f"{error.retry_after_s * 1000:.3f}".rstrip("0").rstrip(".")))
    kind, code, message = said or ("server_error", None, "The server had an error.")
    return error.status or 500, headers, error_body(kind, code, message)
