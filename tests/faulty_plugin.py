"""A plugin as pip would leave it on the path: a generator that is real until a request asks for trouble."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

SOURCE = '''
import ctypes, os, pathlib, signal, time

from limner.generators.errors import DeviceLost
from limner.generators.diffusion.generator import DiffusionGenerator

HERE = pathlib.Path(__file__).parent


class Faulty:
    """A real painter, until one of the prompts in its hands says how it fails."""

    def __init__(self, real):
        self._real = real
        self._prompts = {}

    @classmethod
    def load(cls, card, **options):
        return cls(DiffusionGenerator.load(card, **options))

    def admit(self, key, request):
        self._real.admit(key, request)
        self._prompts[key] = request.prompt

    def step(self):
        for prompt in self._prompts.values():
            self._fail(prompt)
        events = self._real.step()
        for event in events:
            if hasattr(event, "images") or hasattr(event, "error"):
                self._prompts.pop(event.key)
        return events

    def evict(self, key):
        self._prompts.pop(key, None)
        self._real.evict(key)

    def capacity(self):
        return self._real.capacity()

    def together(self):
        return self._real.together()

    def close(self):
        self._real.close()

    def _fail(self, prompt):
        if "segfault" in prompt:
            os.kill(os.getpid(), signal.SIGSEGV)
        elif "hangs and holds" in prompt:
            ctypes.PyDLL(None).sleep(3600)
        elif "hangs" in prompt:
            time.sleep(3600)
        elif "loses its device" in prompt and not (HERE / "lost").exists():
            (HERE / "lost").touch()
            raise DeviceLost
        elif "is slow" in prompt:
            time.sleep(0.05)
'''


def install(folder: Path) -> None:
    """Put the plugin and its entry point into a folder that is on the path."""
    entry_point(folder, "limner.generators", "faulty = faulty_painter:Faulty")
    (folder / "faulty_painter.py").write_text(SOURCE)


def entry_point(folder: Path, group: str, line: str) -> None:
    """What pip leaves on the path of a package with this entry point."""
    metadata = folder / "faulty_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{line}\n")


def faulty_model(tiny: Path, folder: Path) -> Path:
    """A copy of a diffusers folder that is painted by the plugin."""
    shutil.copytree(tiny, folder)
    (folder / "limner.json").write_text(json.dumps({"kind": "faulty"}))
    return folder
