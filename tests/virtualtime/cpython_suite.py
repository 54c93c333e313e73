"""Run one module of CPython's own asyncio tests with SimEventLoop as the loop; a JSON report on stdout.

Arguments: the module's name, then `Class.method` or `method` of each test to leave out.

SimEventLoop takes the place of the default loop, and of the two stand-ins for a loop that these tests use:
`utils.TestLoop`, whose clock is a generator of the test, and a bare `BaseEventLoop` with a mocked selector.
"""

from __future__ import annotations

import asyncio
import json
import sys
import unittest
from typing import ClassVar

from test.test_asyncio import utils

from simsla.virtualtime import SimEventLoop


class DefaultLoop(SimEventLoop):
    """In the place of the default loop."""

    seen: ClassVar[set[type]] = set()

    def _run_once(self) -> None:
        self.seen.add(type(self))
        super()._run_once()


class BareLoop(DefaultLoop):
    """In the place of a `BaseEventLoop` with a mocked selector."""


class TestLoop(DefaultLoop):
    """In the place of `utils.TestLoop`: virtual time needs nobody to tell the clock where to go."""

    def __init__(self, gen: object = None) -> None:
        super().__init__()

    def advance_time(self, advance: float) -> None:
        if advance:
            self.call_later(advance, self.stop)
            self.run_forever()

    def _run_once(self) -> None:
        if not self.is_running():  # a test that calls this expects one turn
            self._stopping = True
        super()._run_once()


class Result(unittest.TestResult):
    on_the_loop = 0
    as_default = 0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        DefaultLoop.seen.clear()

    def stopTest(self, test: unittest.TestCase) -> None:
        self.on_the_loop += bool(DefaultLoop.seen)
        self.as_default += DefaultLoop in DefaultLoop.seen
        super().stopTest(test)


def cases(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    flat = []
    for item in suite:
        flat += cases(item) if isinstance(item, unittest.TestSuite) else [item]
    return flat


def main() -> None:
    module, *left_out = sys.argv[1:]
    asyncio.DefaultEventLoopPolicy._loop_factory = DefaultLoop
    asyncio.BaseEventLoop = BareLoop
    utils.TestLoop = TestLoop

    chosen, excluded = unittest.TestSuite(), []
    for case in cases(unittest.defaultTestLoader.loadTestsFromName(f"test.test_asyncio.{module}")):
        _, class_name, method = case.id().rsplit(".", 2)
        matched = {method, f"{class_name}.{method}"}.intersection(left_out)
        if matched:
            excluded += matched
        else:
            chosen.addTest(case)

    result = Result()
    result.buffer = True
    chosen.run(result)
    report = {
        "ran": result.testsRun,
        "on_the_loop": result.on_the_loop,
        "as_default": result.as_default,
        "skipped": len(result.skipped),
        "excluded": excluded,
        "failed": [f"{case.id()}\n{text}" for case, text in result.failures + result.errors],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
