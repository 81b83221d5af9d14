"""Pictures that bots in the simulated Discord open: in forks of one process, which has loaded the program already."""

from __future__ import annotations

import asyncio
import atexit
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from subprocess import DEVNULL

import pytest


@contextmanager
def used() -> Generator[None]:
    """In this block a picture costs a fork; in `tests/bot/test_inputs.py` it costs a start, as it does operators.

    A fork runs the same `main` under the same limits. Where Python cannot fork, the program is started.
    """
    from limner.bot.storage.pictures import decoder

    with pytest.MonkeyPatch.context() as patch:
        if hasattr(os, "fork"):
            patch.setattr(decoder, "_run", _run)
        yield


async def _run(task: str, data: bytes) -> bytes:
    from limner.bot.storage.pictures import decoder

    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(_server(), [b"\n"], [theirs.fileno()])
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        async with asyncio.timeout(decoder.PROCESS_SECONDS):
            writer.write(task.encode() + b"\n" + data)
            writer.write_eof()
            answer = await reader.read()
    finally:
        writer.close()
    if not answer:
        raise decoder.BadPicture(decoder.MEMORY)
    return answer[1:]


@cache
def _server() -> socket.socket:
    """Where a process that forks takes connections; it ends with this process, and is none of its children."""
    from limner.bot.storage.pictures.decoder import ONE_THREAD

    ours, theirs = socket.socketpair()
    handle = theirs.fileno()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    command = [sys.executable, "-P", __file__, str(handle)]
    with theirs:
        subprocess.run(
            command,
            check=True,
            pass_fds=[handle],
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            env=plain | ONE_THREAD,
        )
    atexit.register(ours.close)
    return ours


def serve(handle: int) -> None:
    """Fork for each connection: it brings a line with the task and then the picture; the answer is after a line end."""
    if os.fork():
        os._exit(0)
    from PIL import Image

    from limner.bot.storage.pictures import decoder_process

    Image.init()  # loads its modules for each format
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a fork
    server = socket.socket(fileno=handle)
    while connections := socket.recv_fds(server, 1, 1)[1]:
        if os.fork() == 0:
            try:
                with socket.socket(fileno=connections[0]) as connection, connection.makefile("rwb") as stream:
                    sys.argv[1:] = [stream.readline().decode().strip()]
                    made = io.BytesIO()
                    sys.stdin, sys.stdout = io.TextIOWrapper(io.BytesIO(stream.read())), io.TextIOWrapper(made)
                    decoder_process.main()
                    stream.write(b"\n" + made.getvalue())
            finally:
                os._exit(0)
        os.close(connections[0])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
