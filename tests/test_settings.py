import re
from pathlib import Path

import pytest

from monitor_core.settings import Settings, SettingsError, load_settings
from tests.deployment import compose_file

ROOT = Path(__file__).parent.parent


def load(**environ):
    return load_settings(environ, None)


def test_the_defaults_are_usable():
    settings = load()
    assert settings.limits() == {"cpu": 85, "memory": 85, "disk": 90, "disk_io": None}
    assert settings.host_name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAMPLE_INTERVAL_SECONDS", "0.01"),
        ("SIMULATED_HOSTS", "many"),
        ("LIMIT_CPU", "101"),
        ("MONITOR_ROLE", "boss"),
        ("HOST_LIMITS", '{"a":{"gpu":1}}'),
        ("API_TOKEN", "short"),
        ("API_TOKEN", "canary-tökens"),
        ("API_TOKEN", "canary\ntoken"),
        ("BACKEND_URL", "service:8000"),
        ("BACKEND_URL", "ftp://service"),
        ("BACKEND_URL", "http://"),
        ("BACKEND_URL", "http://service:port"),
        ("BACKEND_URL", "http://[::1"),
        ("BACKEND_URL", "http://service/?canary=1"),
        ("BACKEND_URL", "http://ser vice"),
        ("BACKEND_URL", "http://user:canary@service:8000"),
        ("BACKEND_URL", "http://canary@service:8000"),
        ("SLACK_WEBHOOK_URL", "http://example.com/canary"),
        ("INFLUXDB_URL", "influxdb:8086"),
        ("INFLUXDB_URL", "http://admin:canary@influxdb:8086"),
        ("SPOOL_MAX_BYTES", "1"),
    ],
)
def test_a_fault_is_one_line_that_names_the_setting(name, value):
    with pytest.raises(SettingsError) as fault:
        load(**{name: value})
    assert str(fault.value).startswith(f"{name}: ")
    assert "\n" not in str(fault.value)
    assert "canary" not in str(fault.value)


def test_every_fault_has_its_line():
    with pytest.raises(SettingsError) as fault:
        load(SIMULATED_HOSTS="-1", LIMIT_CPU="x")
    assert len(str(fault.value).splitlines()) == 2


@pytest.mark.parametrize("url", ["http://service:8000", "https://monitor.example/under/", "http://[::1]:8000"])
def test_the_address_of_the_service_may_be_any_of_the_web(url):
    assert load(BACKEND_URL=url).backend_url == url.rstrip("/")


def test_an_empty_limit_is_no_limit():
    assert load(LIMIT_CPU="").limits()["cpu"] is None


def test_a_secret_may_come_from_a_file(tmp_path):
    (tmp_path / "token").write_text("canary-token\n")
    settings = load(API_TOKEN_FILE=str(tmp_path / "token"))
    assert settings.api_token.get_secret_value() == "canary-token"
    assert "canary" not in f"{settings!r}{settings}{settings.model_dump()}"


def test_a_missing_secret_file_is_a_fault(tmp_path):
    with pytest.raises(SettingsError, match="API_TOKEN_FILE: cannot be read"):
        load(API_TOKEN_FILE=str(tmp_path / "none"))


def test_a_secret_given_twice_is_a_fault(tmp_path):
    (tmp_path / "token").write_text("canary-token")
    with pytest.raises(SettingsError, match="not both"):
        load(API_TOKEN="canary-other", API_TOKEN_FILE=str(tmp_path / "token"))


def test_the_environment_outranks_the_env_file(tmp_path):
    (tmp_path / ".env").write_text("SIMULATED_HOSTS=3\nLIMIT_CPU=70\n")
    settings = load_settings({"LIMIT_CPU": "60"}, tmp_path / ".env")
    assert (settings.simulated_hosts, settings.limit_cpu) == (3, 60)


def test_a_token_for_influxdb_without_its_url_is_a_notice_and_no_error():
    assert load(INFLUXDB_TOKEN="canary").notices() == [
        "INFLUXDB_URL is not set, so samples are kept in the embedded store."
    ]


@pytest.mark.parametrize("missing", ["TOKEN", "ORG", "BUCKET"])
def test_influxdb_without_all_it_needs_is_one_clear_line(missing):
    given = {f"INFLUXDB_{name}": "x" for name in ("TOKEN", "ORG", "BUCKET") if name != missing}
    with pytest.raises(SettingsError) as fault:
        load(INFLUXDB_URL="http://influxdb:8086", **given)
    assert str(fault.value) == f"INFLUXDB_{missing}: is needed because INFLUXDB_URL is set"


def test_every_setting_is_documented():
    text = (ROOT / "docs" / "settings.md").read_text()
    missing = [name for name in Settings.model_fields if f"`{name.upper()}`" not in text]
    assert missing == []


def test_the_example_file_names_only_settings_of_ours_and_of_the_compose_file():
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = [found[1] for line in lines if (found := re.match(r"(?:# )?([A-Z_]+)=", line))]
    unknown = [name for name in names if name.removesuffix("_FILE").lower() not in Settings.model_fields]
    assert [name for name in unknown if name not in compose_file.variables()] == []
