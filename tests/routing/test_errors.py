from __future__ import annotations

import pytest
from routing.fakes import copied

import simsla.routing as routing
from simsla.routing import (
    ATTEMPT_ERRORS,
    AllAttemptsFailed,
    AttemptError,
    AttemptTimeout,
    ConfigError,
    DeadlineExceeded,
    RateLimited,
    RoutingError,
    ServerError,
    ServiceUnavailable,
)


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


def test_every_kind_of_failed_attempt_is_listed_under_its_own_name():
    shipped = {each for each in subclasses(AttemptError) if each.__module__.startswith("simsla.routing")}
    assert set(ATTEMPT_ERRORS.values()) == shipped
    assert all(error.kind == kind for kind, error in ATTEMPT_ERRORS.items())


def test_the_request_is_to_blame_for_bad_requests_only():
    blamed = {kind for kind, error in ATTEMPT_ERRORS.items() if error.blames_request}
    assert blamed == {"bad_request", "context_length", "content_filter"}


@pytest.mark.parametrize("cls", ATTEMPT_ERRORS.values())
def test_attempt_errors_keep_their_details_between_processes(cls):
    error = copied(cls("why", deployment="a", status=418, retry_after_s=2.0))
    assert type(error) is cls
    assert (error.deployment, error.status, error.retry_after_s) == ("a", 418, 2.0)
    assert str(error).startswith(f"a: {cls.kind} (418): why")


def test_statuses_are_those_of_http_unless_given():
    assert (RateLimited().status, ServerError().status, ServiceUnavailable().status) == (429, 500, 503)
    assert ServerError(status=502).status == 502
    assert ServerError().status == 500


def test_timeouts_are_timeouts_for_code_that_knows_nothing_of_simsla():
    error = copied(AttemptTimeout("late", phase="connect"))
    assert error.phase == "connect"
    assert isinstance(error, TimeoutError)
    assert isinstance(DeadlineExceeded(), TimeoutError)
    assert not isinstance(AllAttemptsFailed(), TimeoutError)


@pytest.mark.parametrize("cls", [AllAttemptsFailed, DeadlineExceeded])
def test_verdicts_carry_the_attempts_that_led_to_them(cls):
    errors = (RateLimited(deployment="a"), ServerError(deployment="b"))
    verdict = copied(cls(errors))
    assert [error.deployment for error in verdict.errors] == ["a", "b"]
    assert verdict.__cause__ is verdict.errors[-1]
    assert "a: rate_limited (429); b: server_error (500)" in str(verdict)
    assert cls().errors == ()


def test_a_configuration_error_says_where_what_and_what_instead():
    error = copied(ConfigError("max_attempts", "x", "an integer >= 1").under("retry"))
    assert isinstance(error, ValueError)
    assert str(error) == "retry.max_attempts: expected an integer >= 1, got 'x'"
    assert (error.path, error.value, error.expected) == ("retry.max_attempts", "x", "an integer >= 1")
    assert str(ConfigError("a", "b", "c", "d")).endswith("did you mean 'd'?")
    assert len(str(ConfigError("a", "b" * 10_000, "c"))) < 200


def test_every_public_name_is_exported_once_and_documented():
    assert len(routing.__all__) == len(set(routing.__all__))
    for name in routing.__all__:
        public = getattr(routing, name)
        assert not isinstance(public, type) or public.__doc__, name
    errors = {each for each in subclasses(RoutingError) if not each.__name__.startswith("_")}
    assert {each.__name__ for each in errors if each.__module__ == "simsla.routing.errors"} <= set(
        routing.__all__
    )
