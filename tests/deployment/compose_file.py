"""docker-compose.yml as docker compose sees it: with the values of an environment filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<rule>:?[-+?])(?P<text>[^}]*))?\}")


def example() -> dict[str, str]:
    """What `cp .env.example .env` hands in."""
    return {key: value or "" for key, value in dotenv_values(ROOT / ".env.example").items()}


def load(environ: Mapping[str, str]) -> dict[str, Any]:
    """The file with every variable filled in, and without the settings that this environment does not have."""
    document = _filled(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), environ)
    for service in document["services"].values():
        given = {key: environ.get(key) if value is None else value for key, value in service["environment"].items()}
        service["environment"] = {key: value for key, value in given.items() if value is not None}
    return document


def variables() -> set[str]:
    """Every name that the file takes from its environment."""
    text = (ROOT / "docker-compose.yml").read_text()
    raw = yaml.safe_load(text)["services"].values()
    passed = {key for service in raw for key, value in service["environment"].items() if value is None}
    return passed | {found["name"] for found in VARIABLE.finditer(text)}


def _filled(node: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, environ) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, environ) for value in node]
    return VARIABLE.sub(lambda found: _value(found, environ), node) if isinstance(node, str) else node


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str:
    name, rule, text = found["name"], found["rule"] or "", found["text"] or ""
    value = environ.get(name)
    is_set = bool(value) if rule.startswith(":") else value is not None
    if rule.endswith("+"):
        return text if is_set else ""
    if rule.endswith("?") and not is_set:
        raise ValueError(f"{name}: {text}")
    return (value or "") if is_set else text
