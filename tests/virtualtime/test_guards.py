"""What must not be touched from inside virtual time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from simsla.virtualtime import RealIOError
from simsla.virtualtime.guards import sealed


@pytest.fixture
def listening():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()


def connect(address):
    with socket.socket() as client:
        client.connect(address)


def send_to(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"", address)


def bind(address):
    with socket.socket() as server:
        server.bind((address[0], 8_000))


def fork(_):
    os._exit(0) if os.fork() == 0 else os.wait()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (connect, r"socket\.connect\(\('127\.0\.0\.1', \d+\)\) connects a socket"),
        (send_to, r"socket\.sendto"),
        (bind, r"socket\.bind\(\('127\.0\.0\.1', 8000\)\)"),
        (lambda address: socket.create_connection(address), r"socket\.getaddrinfo\('127\.0\.0\.1'\)"),
        (lambda _: socket.gethostbyname("localhost"), r"socket\.gethostbyname\('localhost'\) looks up"),
        (lambda _: subprocess.run([sys.executable, "-V"], check=True), r"subprocess\.Popen\('.*python"),
        (lambda _: os.system("true"), r"os\.system\(b?'true'\) starts a process"),  # noqa: S605
        (fork, r"os\.fork\(\) forks"),
        (lambda _: threading.Thread(target=connect).start(), "a thread is started for connect "),
        (lambda _: threading.Timer(1, connect).start(), "a thread is started for"),
    ],
)
def test_a_call_that_leads_out_is_refused_with_its_name_and_place(listening, call, named):
    with sealed(), pytest.raises(RealIOError, match=named) as caught:
        call(listening)
    assert f" at {__file__}:" in str(caught.value)


def test_everything_works_before_and_afterwards_and_in_other_threads(listening):
    problems = []

    def other():
        try:
            connect(listening)
            go.set()
            subprocess.run([sys.executable, "-V"], check=True, stdout=subprocess.DEVNULL)
        except BaseException as error:
            problems.append(error)

    go = threading.Event()
    thread = threading.Thread(target=lambda: (go.wait(30), other()))
    thread.start()
    with sealed():
        go.set()
        thread.join()
    assert problems == []
    connect(listening)
    threading.Thread(target=print, args=("",), kwargs={"end": ""}).start()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_ends_with_an_error_too_and_nested_ones_one_by_one(listening, error):
    with sealed():
        with pytest.raises(error), sealed():
            raise error
        with pytest.raises(RealIOError):
            connect(listening)
    connect(listening)


def test_who_is_asked_to_refuse_is_told():
    told = []

    def refuse(error):
        told.append(error)
        raise error

    with sealed(refuse), pytest.raises(RealIOError):
        socket.getaddrinfo("example.com", 443)
    assert len(told) == 1


def test_questions_that_libraries_ask_of_the_machine_are_harmless():
    with sealed():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
        with pytest.raises(FileNotFoundError):
            subprocess.run(["lsb_release", "-a"])
        assert socket.gethostname()
