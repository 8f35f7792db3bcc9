"""Servers that are not ours: where they are, or why a test that needs one cannot run."""

from __future__ import annotations

import os

import pytest


def influxdb_server() -> tuple[str, str, str]:
    """(url, token, org) of a real InfluxDB 2.7 on which the token may create buckets; skips the test without one."""
    found = tuple(os.environ.get(f"INFLUXDB_{name}", "") for name in ("URL", "TOKEN", "ORG"))
    if not all(found):
        pytest.skip("needs a real InfluxDB 2.7: set INFLUXDB_URL, INFLUXDB_TOKEN and INFLUXDB_ORG")
    return found[0], found[1], found[2]


def own_environ() -> dict[str, str]:
    """The environment for programs that a test starts: the same, but no database of whoever runs the tests."""
    return os.environ | dict.fromkeys(("INFLUXDB_URL", "INFLUXDB_TOKEN", "INFLUXDB_ORG", "INFLUXDB_BUCKET"), "")
