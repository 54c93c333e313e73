"""The names behind the codes in the logs; a code is an index into its tuple."""

from __future__ import annotations

from typing import Final

OUTCOMES: Final = ("ok", "degraded", "cached", "error", "timeout", "shed", "abandoned")
"""How a request can end; exactly one of them."""

GOOD_OUTCOMES: Final = ("ok", "degraded", "cached")
"""The outcomes that count as available."""

ATTEMPT_OUTCOMES: Final = (
    "ok",
    "connect",
    "rate_limited",
    "server_error",
    "unavailable",
    "bad_request",
    "context_length",
    "timeout",
    "interrupted",
    "cancelled",
    "malformed",
)
"""How an attempt can end."""

PURPOSES: Final = ("answer", "classify", "check", "shadow")
"""What a call is made for; a purpose of the policy's own is logged as `answer`."""

CACHE_HITS: Final = ("none", "unknown", "true", "false")
"""What an answer out of a cache was about: it is not known, the topic asked about (true), another (false)."""

NOBODY: Final = -1
"""The request to which an attempt is credited that belongs to no request."""
