"""Settings: every setting with name, type, default and meaning; read from the environment once, at the start.

An environment variable is the field's name in upper case. Secrets may be given as a file instead (`NAME_FILE`).
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from monitor_core.metrics import METRICS

SECRETS = ("influxdb_token", "slack_webhook_url", "api_token")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
Percent = Annotated[float, Field(ge=0, le=100)]
Days = Annotated[float, Field(gt=0)]


class SettingsError(Exception):
    """The settings are not usable; the text has one line per fault and never a secret."""


class Settings(BaseSettings):
    """What an operator may turn. `docs/settings.md` explains each."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    monitor_role: Literal["all", "dashboard"] = Field(
        "all", description="all: the whole product in one process; dashboard: the pages of a service elsewhere"
    )
    backend_url: str = Field(
        "http://localhost:8000", description="where the dashboard and the simulator find the service"
    )
    data_dir: Path = Field(Path("data"), description="folder of everything that is kept")
    host_name: str = Field("", description="name of this machine on the pages; empty: its hostname")
    collect_this_host: bool = Field(True, description="measure the machine that runs the service")
    disk_path: str = Field("/", description="the file system whose use is measured")
    sample_interval_seconds: float = Field(3.0, ge=0.1, le=300, description="seconds between two samples")
    simulated_hosts: int = Field(6, ge=0, le=10_000, description="hosts of the simulated fleet; 0: none")
    simulator_seed: int = Field(7, description="the same seed gives the same fleet")
    influxdb_url: str | None = Field(None, description="InfluxDB 2.7 to keep samples in; none: the embedded store")
    influxdb_token: SecretStr | None = Field(None, description="token for InfluxDB")
    influxdb_org: str | None = Field(None, description="organisation in InfluxDB")
    influxdb_bucket: str | None = Field(None, description="bucket in InfluxDB; rollups and anomalies have others")
    spool_max_bytes: int = Field(4 << 30, ge=1 << 20, description="most that waits while the database is away")
    raw_days: Days | None = Field(None, description="days for which every sample is kept; 7, in InfluxDB 30")
    minute_days: Days = Field(90, description="days for which one-minute rollups are kept")
    half_hour_days: Days = Field(730, description="days for which half-hour rollups are kept")
    anomaly_days: Days = Field(365, description="days for which anomalies are kept")
    limit_cpu: Percent | None = Field(85, description="limit of CPU in percent; empty: none")
    limit_memory: Percent | None = Field(85, description="limit of memory in percent; empty: none")
    limit_disk: Percent | None = Field(90, description="limit of disk used in percent; empty: none")
    limit_disk_io: Percent | None = Field(None, description="limit of disk I/O busy in percent; empty: none")
    host_limits: dict[str, dict[str, float | None]] = Field({}, description="limits of single hosts, as JSON")
    alarm_score: float = Field(0.75, gt=0, le=1, description="score from which a sample is unusual")
    alerts_per_week: float = Field(
        1.0, ge=0, le=10_000, description="alert budget: what scores may open per real host and week; 0: no budget"
    )
    alarm_samples: int = Field(3, ge=1, le=32, description="unusual samples that open an incident …")
    alarm_window: int = Field(5, ge=1, le=32, description="… among this many")
    recovery_seconds: float = Field(60, gt=0, description="seconds without an unusual sample that resolve it")
    silence_factor: float = Field(10, ge=2, description="a host is silent after this many of its usual gaps …")
    silence_minimum_seconds: float = Field(10, gt=0, description="… and never before this many seconds")
    train_at_hour: int = Field(3, ge=-1, le=23, description="hour of the nightly training (UTC); -1: only by hand")
    slack_webhook_url: SecretStr | None = Field(None, description="incoming webhook of Slack; none: the console")
    public_url: str | None = Field(None, description="address of the pages, for links in messages")
    api_token: SecretStr | None = Field(None, description="token that API and pages ask for; none: open")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http://localhost:4173", "http://localhost:5173"), description="pages elsewhere that may call the API"
    )
    max_body_bytes: int = Field(8 << 20, ge=1024, description="largest body that is read")
    request_seconds: float = Field(30, ge=1, le=3600, description="time for a request to arrive, head and body")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="how much is logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands in: reading the environment here too would hide where a value came from."""
        return (init_settings,)

    @field_validator("limit_cpu", "limit_memory", "limit_disk", "limit_disk_io", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("host_limits", mode="before")
    @classmethod
    def _parse_host_limits(cls, value: object) -> object:
        parsed = json.loads(value) if isinstance(value, str) else value
        for limits in parsed.values() if isinstance(parsed, dict) else ():
            unknown = set(limits) - set(METRICS)
            if unknown:
                raise ValueError(f"there is no metric called {min(unknown)}")
        return parsed

    @field_validator("host_name")
    @classmethod
    def _clean_host_name(cls, value: str) -> str:
        return re.sub(r"[^A-Za-z0-9._:-]", "-", value or socket.gethostname())[:253] or "this-machine"

    @field_validator("backend_url")
    @classmethod
    def _check_backend(cls, value: str) -> str:
        wrong = ValueError("must be an address like http://service:8000")
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # half an IPv6 address, a port that is not a number
            raise wrong from None
        if not usable or parts.query or parts.fragment or not value.isprintable() or " " in value:
            raise wrong
        if parts.username is not None:
            raise ValueError("must not hold a user or a password; the service asks for API_TOKEN only")
        return value.rstrip("/")

    @field_validator("slack_webhook_url")
    @classmethod
    def _check_webhook(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts and not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
            raise ValueError("must begin with https://")
        return value

    @field_validator("influxdb_url")
    @classmethod
    def _check_influxdb_url(cls, value: str | None) -> str | None:
        parts = urlsplit(value) if value else None
        if parts and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must begin with http:// or https://")
        if parts and (parts.username or parts.password):
            raise ValueError("holds a name or a password; InfluxDB wants a token")
        return value

    @model_validator(mode="after")
    def _check_influxdb(self) -> Settings:
        missing = [name for name in ("token", "org", "bucket") if not getattr(self, f"influxdb_{name}")]
        if self.influxdb_url and missing:
            raise ValueError(f"INFLUXDB_{missing[0].upper()}: is needed because INFLUXDB_URL is set")
        return self

    @field_validator("api_token")
    @classmethod
    def _check_token(cls, value: SecretStr | None) -> SecretStr | None:
        token = value.get_secret_value() if value else None
        if token is not None and len(token) < 8:
            raise ValueError("must have at least 8 characters")
        if token is not None and not (token.isprintable() and token.isascii()):
            raise ValueError("must be printable ASCII: it travels in a header")
        return value

    def token(self) -> str | None:
        """The API token for those who compare or send it."""
        return self.api_token.get_secret_value() if self.api_token else None

    def limits(self) -> dict[str, float | None]:
        """The default limit of every metric."""
        return {key: getattr(self, f"limit_{key}") for key in METRICS}

    def notices(self) -> list[str]:
        """What an operator should know about the settings, though they are valid."""
        others = self.influxdb_token or self.influxdb_org or self.influxdb_bucket
        if others and not self.influxdb_url:
            return ["INFLUXDB_URL is not set, so samples are kept in the embedded store."]
        return []


def load_settings(environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> Settings:
    """From the environment, then `.env`, then the defaults. Raises SettingsError."""
    file = {key: value or "" for key, value in dotenv_values(env_file).items()} if env_file else {}
    found = {**file, **(os.environ if environ is None else environ)}
    faults: list[str] = []
    given: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = _secret(name, found, faults) if name in SECRETS else found.get(name.upper())
        if value is not None and (value != "" or name.startswith("limit_")):
            given[name] = value
    try:
        settings = Settings(**given)
    except ValidationError as error:
        faults += [_line(fault) for fault in error.errors(include_input=False, include_url=False)]
        raise SettingsError("\n".join(faults)) from None
    if faults:
        raise SettingsError("\n".join(faults))
    return settings


def load_settings_or_exit() -> Settings:
    """For programs: faults go to standard error, the exit code is 2."""
    try:
        return load_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def _secret(name: str, found: Mapping[str, str], faults: list[str]) -> str | None:
    key = name.upper()
    path = found.get(f"{key}_FILE")
    if not path:
        return found.get(key)
    if found.get(key):
        faults.append(f"{key} and {key}_FILE: give one of them, not both")
        return None
    try:
        value = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        faults.append(f"{key}_FILE: cannot be read: {reason}")
        return None
    if not value:
        faults.append(f"{key}_FILE: the file is empty")
    return value or None


def _line(fault: Any) -> str:
    said = str(fault["msg"].removeprefix("Value error, "))
    return f"{str(fault['loc'][0]).upper()}: {said}" if fault["loc"] else said
