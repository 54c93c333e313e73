"""The real world cannot be reached from inside virtual time: each call is refused by its name."""

import asyncio
import inspect
import signal
import socket
import threading

import pytest

from simsla.virtualtime import RealIOError, SimEventLoop, run_in_virtual_time

# What a loop in virtual time does offer, of what asyncio asks of a loop.
OFFERED = {
    *("run_forever", "run_until_complete", "stop", "is_running", "is_closed", "close", "time"),
    *("call_soon", "call_later", "call_at", "call_soon_threadsafe"),
    *("create_future", "create_task", "set_task_factory", "get_task_factory"),
    *("run_in_executor", "set_default_executor", "shutdown_default_executor", "shutdown_asyncgens"),
    *("get_exception_handler", "set_exception_handler", "default_exception_handler"),
    *("call_exception_handler", "get_debug", "set_debug"),
}
REFUSED = sorted(
    name
    for name, _ in inspect.getmembers(asyncio.AbstractEventLoop, inspect.isfunction)
    if not name.startswith("_") and name not in OFFERED
)


def test_most_of_a_loops_interface_is_io():
    assert len(REFUSED) >= 29


@pytest.mark.parametrize("name", REFUSED)
def test_every_call_of_a_loop_that_does_io_is_refused_by_name(name):
    loop = SimEventLoop()
    with pytest.raises(RealIOError, match=rf"^{name}\(\)"):
        getattr(loop, name)(None)
    loop.close()


async def subprocess_exec():
    await asyncio.create_subprocess_exec("true")


async def subprocess_shell():
    await asyncio.create_subprocess_shell("true")


async def open_connection():
    await asyncio.open_connection("localhost", 80)


async def open_unix_connection():
    await asyncio.open_unix_connection("/nowhere")


async def start_server():
    await asyncio.start_server(lambda *_: None, port=0)


async def getaddrinfo():
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def add_signal_handler():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)


async def add_reader():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asyncio.get_running_loop().add_reader(ours, print)


async def sock_connect():
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("localhost", 9))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (subprocess_exec, "subprocess_exec"),
        (subprocess_shell, "subprocess_shell"),
        (open_connection, "create_connection"),
        (open_unix_connection, "create_unix_connection"),
        (start_server, "create_server"),
        (getaddrinfo, "getaddrinfo"),
        (add_signal_handler, "add_signal_handler"),
        (add_reader, "add_reader"),
        (sock_connect, "sock_connect"),
    ],
)
def test_asyncios_own_functions_meet_the_refusal(call, named):
    with pytest.raises(RealIOError, match=named):
        run_in_virtual_time(call())


def test_a_loop_opens_no_socket_and_starts_no_thread(monkeypatch):
    async def main():
        await asyncio.sleep(1.0)
        with pytest.raises(RealIOError):
            await asyncio.open_connection("localhost", 80)
        return await asyncio.to_thread(str, 5)

    for module, name in ((socket, "socket"), (socket, "socketpair"), (threading.Thread, "start")):
        monkeypatch.setattr(module, name, pytest.fail)
    assert run_in_virtual_time(main()) == "5"


def test_a_refusal_is_what_portable_code_expects_of_a_loop_that_cannot():
    async def main():
        try:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)
        except NotImplementedError:
            return "went without"

    assert run_in_virtual_time(main()) == "went without"


def test_another_thread_cannot_reach_into_the_loop():
    async def main():
        loop, errors = asyncio.get_running_loop(), []

        def intrude(call):
            try:
                call()
            except RealIOError as error:
                errors.append(str(error))

        coroutine = asyncio.sleep(1.0)
        for call in (
            lambda: loop.call_soon_threadsafe(pytest.fail),
            lambda: asyncio.run_coroutine_threadsafe(coroutine, loop),
        ):
            thread = threading.Thread(target=intrude, args=(call,))
            thread.start()
            thread.join()
        coroutine.close()
        await asyncio.sleep(1.0)
        return errors

    errors = run_in_virtual_time(main())
    assert len(errors) == 2
    assert all("call_soon_threadsafe() from another thread" in error for error in errors)


def test_call_soon_threadsafe_in_the_loops_own_thread_is_call_soon():
    async def main():
        order = []
        loop = asyncio.get_running_loop()
        loop.call_soon(order.append, 1)
        loop.call_soon_threadsafe(order.append, 2)
        await asyncio.sleep(0)
        return order

    assert run_in_virtual_time(main()) == [1, 2]
