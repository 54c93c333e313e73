"""Answers out of a cache in the report: told where there were any."""

from __future__ import annotations

import json

import pytest

POLICY = """
from simsla.routing import Reply

def {name}(transport):
    async def handle(request):
        if request.id % 2:
            return await transport.send(request, transport.deployments[0])
        return Reply("known", "cache", "m", 0, 0, 0.0, 0.0, metadata={metadata})
    return handle
"""


@pytest.mark.parametrize(
    ("metadata", "labels"),
    [
        ({"cache": {"true_hit": False}}, ["cache hits", "false cache hits"]),
        (None, ["cache hits"]),
    ],
)
def test_hits_have_their_lines(simsla, here, metadata, labels):
    name = f"caching_{len(labels)}"
    (here / f"{name}.py").write_text(POLICY.format(name=name, metadata=metadata))
    run = ("run", "small.yaml", "--jobs", "1", "--policy", f"{name}:{name}")
    lines = simsla(*run).stdout.splitlines()
    assert [line[:25].rstrip() for line in lines if "cache hits" in line] == labels
    found = json.loads(simsla(*run, "--json").stdout)["metrics"]["cache_false_hit_share"]
    assert found["value"] == (1 if metadata else None)


def test_without_hits_there_is_nothing_to_tell(simsla):
    assert "cache" not in simsla("run", "small.yaml", "--jobs", "1").stdout
