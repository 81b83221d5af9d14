"""Workflows of ComfyUI in its API format, with placeholders for what a request says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from limner.generators.sentences import sentence
from limner.generators.text_files import BadText, parse_json, read_text

MOST_BYTES = 4 * 2**20
"""Largest workflow file."""
PLACEHOLDER = re.compile(r"%([a-z_]+)%")
KNOWN = (
    *("prompt", "negative_prompt", "seed", "steps", "guidance", "width", "height"),
    *("sampler", "strength", "image", "mask"),
)
"""What a request fills in; ``image`` and ``mask`` are names of uploaded files."""
REQUIRED = ("prompt", "seed")
SAVING = ("SaveImage", "PreviewImage")
"""Classes of nodes whose pictures are in the history."""
SAMPLERS = {
    "euler": "euler",
    "ddim": "ddim",
    "ddpm": "ddpm",
    "deis": "deis",
    "dpm2": "dpm_2",
    "dpm2_a": "dpm_2_ancestral",
    "dpmpp_2m": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m_sde",
    "euler_a": "euler_ancestral",
    "heun": "heun",
    "lcm": "lcm",
    "lms": "lms",
    "unipc": "uni_pc",
}
"""ComfyUI's names of our samplers (its documentation of KSampler); the first one is used where none is asked for."""

OF_EDITOR = sentence("{file} is a workflow as the editor saves it; in ComfyUI choose Workflow, Export (API).")
NO_WORKFLOW = sentence("{file} is no workflow of ComfyUI in its API format.")
TOO_LONG = sentence("{file} has more than {most} bytes, too many for a workflow.")
UNKNOWN = sentence("{file} has the placeholder %{name}%, which is not known; known are: {known}.")
MISSING = sentence("{file} lacks the placeholder %{name}%; write it into the node that takes it.")
NO_OUTPUT = sentence("{file} needs one node that saves the picture, SaveImage or PreviewImage; it has {count}.")
MASK_ALONE = sentence("{file} has the placeholder %mask% without %image%.")


@dataclass(frozen=True)
class Workflow:
    """A workflow: its nodes by id, the id of the node that saves the picture, and the names of its placeholders."""

    nodes: Mapping[str, Mapping[str, Any]]
    output: str
    names: frozenset[str]

    @classmethod
    def read(cls, file: Path) -> Workflow:
        """Read a workflow file; raises BadText with what is wrong and what to do."""
        if file.is_file() and file.stat().st_size > MOST_BYTES:
            raise BadText(sentence(TOO_LONG, file=file, most=MOST_BYTES))
        nodes = _nodes(parse_json(read_text(file, str(file)), str(file)), file)
        names = frozenset(name for text in _texts(nodes) for name in PLACEHOLDER.findall(text))
        for name in sorted(names - {*KNOWN}):
            raise BadText(sentence(UNKNOWN, file=file, name=name, known=", ".join(KNOWN)))
        for name in REQUIRED:
            if name not in names:
                raise BadText(sentence(MISSING, file=file, name=name))
        if "mask" in names and "image" not in names:
            raise BadText(sentence(MASK_ALONE, file=file))
        saving = [key for key, node in nodes.items() if node["class_type"] in SAVING]
        if len(saving) != 1:
            raise BadText(sentence(NO_OUTPUT, file=file, count=len(saving)))
        return cls(nodes, saving[0], names)

    def filled(self, values: Mapping[str, str | float]) -> dict[str, Any]:
        """The nodes with a value for each placeholder; a text that is a placeholder alone becomes its very value."""
        return {key: {**node, "inputs": _filled(node["inputs"], values)} for key, node in self.nodes.items()}

    def abilities(self) -> dict[str, Any]:
        """Fields of a model's card that follow from the placeholders."""
        return {
            "leaves_out": "negative_prompt" in self.names,
            "has_steps": "steps" in self.names,
            "has_guidance": "guidance" in self.names,
            "other_sizes": {"width", "height"} <= self.names,
            "starts": "image" in self.names,
            "needs_picture": "image" in self.names,
            "masks": "mask" in self.names,
            "samplers": tuple(SAMPLERS) if "sampler" in self.names else (),
        }


def _nodes(value: Any, file: Path) -> dict[str, dict[str, Any]]:
    nodes = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if isinstance(nodes.get("nodes"), list):
        raise BadText(sentence(OF_EDITOR, file=file))
    if not nodes or not all(map(_is_node, nodes.values())):
        raise BadText(sentence(NO_WORKFLOW, file=file))
    return nodes


def _is_node(value: Any) -> bool:
    node = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def _texts(value: Any) -> Iterator[str]:
    """The texts of the nodes' inputs, at any depth; their titles are not read."""
    for node in value.values():
        waiting = [node["inputs"]]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                yield one
            elif isinstance(one, dict | list):
                waiting += one.values() if isinstance(one, dict) else one


def _filled(value: Any, values: Mapping[str, str | float]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, values) for name, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_filled(one, values) for one in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    if alone := PLACEHOLDER.fullmatch(value):
        return values[alone[1]]
    return PLACEHOLDER.sub(lambda found: str(values[found[1]]), value)
