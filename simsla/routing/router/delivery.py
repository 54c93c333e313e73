"""The answer to one request, chunk by chunk, from as many streams as it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from simsla.routing.errors import AttemptError
from simsla.routing.progress import Progress
from simsla.routing.router.calls import Call
from simsla.routing.router.handover import give
from simsla.routing.router.live import LiveStream
from simsla.routing.selection.chains import Candidate
from simsla.routing.streaming.resume import continuation
from simsla.routing.types import Chunk, Reply, Request, Timeouts

Run = Callable[[Progress, Call[Reply]], Awaitable[Reply]]
"""The loop of attempts."""


class Interrupted(Exception):  # noqa: N818 - the name says what happened
    """An attempt failed after a part of the answer had reached the caller: the loop must begin no other."""

    def __init__(self, error: AttemptError) -> None:
        self.error = error
        super().__init__(error)


class Delivery:
    """A `Call` that opens a stream and reads it to its end, for one request.

    To the loop of attempts a stream that breaks off is a failed attempt like any other. With ``resumes`` the
    next attempt is asked for the rest only; without, it begins the answer anew, unless the caller has seen
    some of it: then the loop ends.
    """

    _asked: Request

    def __init__(self, run: Run, opening: Call[LiveStream], *, resumes: bool, gives: bool) -> None:
        """``opening`` gives a stream with its first chunk; ``gives``: to a `Handover`, else to nobody."""
        self.last: Chunk | None = None
        """The chunk that ends the answer; it is not given, because the reply is to be there before it."""
        self.reply: Reply | None = None
        """The whole reply, when the stages too have been left."""
        self._run = run
        self._open = opening
        self._resumes = resumes
        self._gives = gives
        # What came of the streams that broke off, and who sent it.
        self._text = ""
        self._tokens = 0
        self._parts: list[dict[str, Any]] = []

    async def answer(self, progress: Progress) -> Reply:
        """Everything between the stages: the whole reply, its chunks but the last given on the way."""
        self._asked = progress.request
        try:
            return await self._run(progress, self)
        except Interrupted as end:
            error = end.error
        try:
            raise error
        finally:
            # The name would tie the error to its own traceback.
            del error

    async def __call__(
        self, progress: Progress, candidate: Candidate, ticket: object, timeouts: Timeouts
    ) -> Reply:
        """What of the answer is still missing, from one deployment; the reply is the whole of it."""
        live = await self._open(progress, candidate, ticket, timeouts)
        try:
            held, read = iter(live.held), live.read if self._gives else live.rest
            while True:
                chunk = next(held, None) or await read()
                if chunk.finish_reason is not None:
                    self.last = chunk
                    return self._whole(live, progress)
                if self._gives:
                    await give(chunk)
        except AttemptError as error:
            if not (live.tokens or live.text):
                raise
            if not self._resumes:
                if not self._seen():
                    raise
                progress.failed(live.ended_s, live.candidate.deployment.name, error)
                raise Interrupted(error) from None
            if self._lacks_nothing(live):
                self.last = Chunk("", 0, "length")
                return self._whole(live, progress)
            self._absorb(live, error, progress)
            raise
        finally:
            if not live.left:
                await live.aclose()

    def _seen(self) -> bool:
        """Whether the caller sees chunks as they come. One who waits for the whole reply of a request with
        ``stream`` stands for a client who reads along.
        """
        return self._gives or self._asked.stream

    def _lacks_nothing(self, live: LiveStream) -> bool:
        """Whether all the tokens that were asked for had come when the stream broke off."""
        most = self._asked.max_tokens
        return most is not None and self._tokens + live.tokens >= most

    def _absorb(self, live: LiveStream, error: AttemptError, progress: Progress) -> None:
        """Keep what came of a stream that broke off, and ask for the rest from now on."""
        self._text += live.text
        self._tokens += live.tokens
        self._parts.append(
            {"deployment": live.candidate.deployment.name, "tokens": live.tokens, "error": error.kind}
        )
        progress.request = continuation(self._asked, self._text, self._tokens)

    def _whole(self, live: LiveStream, progress: Progress) -> Reply:
        """The reply of all streams, with the name and the times of the one that ended the answer."""
        if live.reply is not None and not self._parts:
            return live.reply
        deployment = live.candidate.deployment
        if live.reply is not None:
            reply = live.reply
            progress.spent_usd += deployment.cost_usd(reply.tokens_in, reply.tokens_out)
        else:
            # It broke off after its last token, and has been paid for as that.
            reply = live.so_far("length")
            progress.answered_by = live.candidate
        if self._parts:
            progress.note("resumed", self._parts)
        whole = Reply(
            self._text + reply.text,
            reply.deployment,
            reply.model,
            self._asked.prompt_tokens,
            self._tokens + reply.tokens_out,
            reply.first_token_s,
            reply.total_s,
            reply.finish_reason,
        )
        # Whoever reads the reply adds its cost as if one call had given it.
        progress.spent_usd -= deployment.cost_usd(whole.tokens_in, whole.tokens_out)
        return whole
