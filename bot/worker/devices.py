"""Finds the devices of this machine by asking torch in a short-lived process, so that this one never imports it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

TORCH_SECONDS = 120.0
"""How long importing torch may take on a slow disk."""


async def find_devices(wanted: Sequence[str]) -> list[str]:
    """The devices that ``wanted`` (the setting `device`) means here: auto is every CUDA GPU, else the best there is."""
    if known := known_devices(wanted):
        return known
    found = await ask_generators("device")
    if found is None:
        return ["auto"]  # the worker's own log reports what is wrong with torch
    return [f"cuda:{number}" for number in range(len(found["cuda"]))] or ["mps" if found["mps"] else "cpu"]


def known_devices(wanted: Sequence[str]) -> list[str] | None:
    """The same, as far as it is known without torch; None where torch must be asked."""
    if list(wanted) != ["auto"]:
        return list(wanted)
    return ["cpu"] if version("torch").endswith("+cpu") else None  # the build for CPUs, as its name says


async def ask_generators(module: str, *arguments: str, seconds: float = TORCH_SECONDS) -> dict[str, Any] | None:
    """The JSON that the program ``limner.generators.MODULE`` prints; None if torch cannot be loaded."""
    command = (sys.executable, "-P", "-m", f"limner.generators.{module}", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return None if process.returncode else json.loads(said)
