"""The server by itself, over plain sockets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from simsla.routing import Deployment
from simsla.testing import Behaviour, FaultServer
from simsla.testing.behaviours import (
    CUT,
    HANG,
    MALFORMED,
    OK,
    RATE_LIMITED,
    REFUSED,
    SERVER_ERROR,
    UNAUTHORIZED,
    UNAVAILABLE,
)


async def post(server, model, *, path="/v1/chat/completions", **body):
    """Status, headers and body of one call on a connection of its own."""
    reader, writer = await connect(server, model)
    write(writer, {"model": model, "messages": [{"role": "user", "content": "one two"}], **body}, path)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    if "content-length" in headers:
        content = await reader.read(int(headers["content-length"]))
    else:
        content = await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    return int(first.split()[1]), headers, content


def connect(server, model):
    host, port = server.url(model).removeprefix("http://").removesuffix("/v1").split(":")
    assert host == "127.0.0.1"
    return asyncio.open_connection(host, int(port))


def write(writer, body, path="/v1/chat/completions"):
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n"
    writer.write(f"{head}Authorization: Bearer sk-1\r\n\r\n".encode() + content)


def serve(scripts, script):
    async def main():
        async with FaultServer(scripts) as server:
            return await asyncio.wait_for(script(server), 20)

    return asyncio.run(main())


def test_an_answer():
    status, headers, content = serve({"m": [OK]}, lambda server: post(server, "m"))
    said = json.loads(content)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert said["choices"][0]["finish_reason"] == "stop"
    assert said["usage"] == {"prompt_tokens": 2, "completion_tokens": 64, "total_tokens": 66}


@pytest.mark.parametrize("counts", [False, True])
def test_a_stream(counts):
    options = {"stream": True, "max_tokens": 3} | (
        {"stream_options": {"include_usage": True}} if counts else {}
    )
    _, headers, content = serve({"m": [OK]}, lambda server: post(server, "m", **options))
    events = [line[6:] for line in content.decode().splitlines() if line.startswith("data: ")]
    assert headers["content-type"] == "text/event-stream"
    assert events[-1] == "[DONE]"
    parsed = [json.loads(each) for each in events[:-1]]
    text = "".join(each["choices"][0]["delta"].get("content", "") for each in parsed if each["choices"])
    assert text == "word word word"
    assert ("usage" in parsed[-1]) == counts


def test_scripts_go_on_and_the_last_behaviour_stays():
    async def script(server):
        statuses = [(await post(server, "m"))[0] for _ in range(4)]
        return statuses, server.calls

    statuses, calls = serve({"m": [SERVER_ERROR, UNAVAILABLE, OK]}, script)
    assert statuses == [500, 503, 200, 200]
    assert [call.behaviour for call in calls] == [SERVER_ERROR, UNAVAILABLE, OK, OK]


def test_what_does_not_exist_is_a_404():
    async def script(server):
        return [await post(server, "other"), await post(server, "m", path="/v1/embeddings")], server.calls

    answers, calls = serve({"m": [OK]}, script)
    assert [status for status, _, _ in answers] == [404, 404]
    assert calls == []


@pytest.mark.parametrize(
    ("seconds", "header", "value"), [(7.0, "retry-after", "7"), (0.25, "retry-after-ms", "250.0")]
)
def test_retry_after(seconds, header, value):
    behaviour = replace(RATE_LIMITED, retry_after_s=seconds)
    status, headers, _ = serve({"m": [behaviour]}, lambda server: post(server, "m"))
    assert (status, headers[header]) == (429, value)


def test_a_401_repeats_the_key():
    _, _, content = serve({"m": [UNAUTHORIZED]}, lambda server: post(server, "m"))
    assert "sk-1" in json.loads(content)["error"]["message"]


def test_a_malformed_answer_is_complete_and_no_json():
    _, headers, content = serve({"m": [MALFORMED]}, lambda server: post(server, "m"))
    assert len(content) == int(headers["content-length"])
    with pytest.raises(json.JSONDecodeError):
        json.loads(content)


def test_a_cut_answer_is_not_complete():
    _, headers, content = serve({"m": [CUT]}, lambda server: post(server, "m"))
    assert 0 < len(content) < int(headers["content-length"])


def test_nothing_listens_where_connections_are_refused():
    async def script(server):
        with pytest.raises(ConnectionRefusedError):
            await connect(server, "m")

    serve({"m": [REFUSED], "other": [OK]}, script)


def test_a_client_that_leaves_is_noticed():
    async def script(server):
        _, writer = await connect(server, "m")
        write(writer, {"model": "m"})
        while server.in_flight == 0:
            await asyncio.sleep(0.001)
        writer.close()
        while server.in_flight > 0:
            await asyncio.sleep(0.001)

    serve({"m": [HANG]}, script)


def test_a_connection_serves_one_call_after_another():
    async def script(server):
        reader, writer = await connect(server, "m")
        for _ in range(3):
            write(writer, {"model": "m", "max_tokens": 1})
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        writer.close()
        return len(server.calls)

    assert serve({"m": [OK]}, script) == 3


def test_deployments_are_placed_at_their_addresses():
    async def script(server):
        return server.place([Deployment("a", "gpt", tier="premium"), Deployment("b", "gpt")], "KEY")

    placed = serve({"a": [OK], "b": [REFUSED]}, script)
    assert [(each.name, each.model, each.tier, each.api_key_env) for each in placed] == [
        ("a", "a", "premium", "KEY"),
        ("b", "b", "standard", "KEY"),
    ]
    assert placed[0].base_url != placed[1].base_url


@pytest.mark.parametrize("script", [[], [REFUSED, OK], [Behaviour("unreachable"), OK]])
def test_scripts_that_cannot_be(script):
    with pytest.raises(ValueError, match="the script of 'm'"):
        FaultServer({"m": script})


@pytest.mark.parametrize(
    "text", [b"hello\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{{{", b"\0" * 99]
)
def test_what_is_no_http_is_hung_up_on(text):
    async def script(server):
        reader, writer = await connect(server, "m")
        writer.write(text)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        return (await post(server, "m"))[0]

    assert serve({"m": [OK]}, script) == 200
