"""The command line `limner`, in front of a Discord on this machine: python -m tests.run_bot ADDRESS run."""

from __future__ import annotations

import sys

import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route


def use(address: str) -> None:
    """Let discord.py in this process talk to the Discord at ``address``."""
    Route.BASE = f"{address}/api/v10"
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(address.replace("http", "ws") + "/gateway")


if __name__ == "__main__":
    from limner.bot.__main__ import main

    use(sys.argv.pop(1))
    sys.exit(main(sys.argv[1:]))
