"""docker-compose.yml: valid, and as safe as it says. What runs from it is seen by `make image-check`."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from monitor_core.settings import SECRETS, Settings, load_settings
from tests.deployment import compose_file

ROOT = compose_file.ROOT
OURS = ("service", "dashboard", "simulator")
NAMES = {name.upper() for name in Settings.model_fields} | {f"{name.upper()}_FILE" for name in SECRETS}
OF_OTHERS = {f"STREAMLIT_{name}" for name in ("SERVER_ADDRESS", "SERVER_PORT", "BROWSER_SERVER_ADDRESS")}


@pytest.fixture
def compose():
    return compose_file.load(compose_file.example())


@pytest.fixture
def services(compose):
    return compose["services"]


def raw():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_it_follows_the_compose_specification():
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(raw())
    jsonschema.Draft7Validator(schema).validate(compose_file.load(compose_file.example()))


def test_ports_are_those_of_the_original_and_only_this_machine_reaches_them(services):
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {
        "influxdb": ["127.0.0.1:8086:8086"],
        "service": ["127.0.0.1:8000:8000"],
        "dashboard": ["127.0.0.1:4173:4173"],
    }


def test_every_name_in_an_environment_is_a_setting():
    names = {name for role in OURS for name in raw()["services"][role]["environment"]}
    assert names - NAMES - OF_OTHERS == set()


def test_no_setting_of_the_env_file_is_lost():
    names = {name for role in OURS for name in raw()["services"][role]["environment"]}
    taken = {name.removesuffix("_FILE").lower() for name in names}
    assert set(Settings.model_fields) - taken == set()


def test_no_secret_stands_in_an_environment(services):
    plain = {name.upper() for name in SECRETS} | {"DOCKER_INFLUXDB_INIT_PASSWORD", "DOCKER_INFLUXDB_INIT_ADMIN_TOKEN"}
    assert [name for service in services.values() for name in service["environment"] if name in plain] == []
    assert not [service for service in services.values() if "env_file" in service]


def test_secrets_are_files_because_a_read_only_service_takes_no_others(compose):
    assert [list(secret) for secret in compose["secrets"].values()] == [["file"]] * 4
    assert all((ROOT / secret["file"]).is_file() for secret in compose["secrets"].values())


@pytest.mark.parametrize("role", [*OURS, "influxdb"])
def test_a_secret_that_is_named_is_granted(services, role):
    service = services[role]
    named = {value.removeprefix("/run/secrets/") for value in service["environment"].values() if "/run/sec" in value}
    assert named <= set(service["secrets"])


@pytest.mark.parametrize("role", OURS)
def test_the_settings_of_each_role_are_usable(services, role, tmp_path):
    environ = {
        key: value.replace("/run/secrets/", f"{ROOT}/secrets/trial/") if key.endswith("_FILE") else value
        for key, value in services[role]["environment"].items()
    }
    settings = load_settings(environ, None)
    assert settings.api_token is None
    assert settings.slack_webhook_url is None


@pytest.mark.parametrize("role", OURS)
def test_a_token_in_a_file_reaches_every_role(role):
    services = compose_file.load(compose_file.example() | {"API_TOKEN_FILE": "secrets/own/token"})["services"]
    assert services[role]["environment"]["API_TOKEN_FILE"] == "/run/secrets/api_token"


@pytest.mark.parametrize("name", ["API_TOKEN", "SLACK_WEBHOOK_URL"])
def test_a_secret_in_the_env_file_is_never_ignored(name):
    compose = compose_file.load(compose_file.example() | {name: "canary-secret"})
    path = compose["secrets"][name.lower()]["file"]
    assert f"{name}-must-be-a-file-named-in-{name}_FILE" in path
    assert not (ROOT / path).exists()
    assert compose["services"]["service"]["environment"][f"{name}_FILE"] == f"/run/secrets/{name.lower()}"
    assert "canary" not in str(compose)


def test_without_an_env_file_the_start_says_what_is_missing():
    with pytest.raises(ValueError, match=r"INFLUXDB_TOKEN_FILE: .*cp \.env\.example \.env"):
        compose_file.load({})


def test_the_service_uses_the_influxdb_that_is_set_up_beside_it(services):
    given, made = services["service"]["environment"], services["influxdb"]["environment"]
    assert given["INFLUXDB_URL"] == "http://influxdb:8086"
    assert given["INFLUXDB_TOKEN_FILE"] == made["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN_FILE"]
    assert given["INFLUXDB_ORG"] == made["DOCKER_INFLUXDB_INIT_ORG"]
    assert given["INFLUXDB_BUCKET"] == made["DOCKER_INFLUXDB_INIT_BUCKET"]
    assert services["influxdb"]["image"] == "influxdb:2.7"


def test_what_an_empty_limit_means_survives():
    services = compose_file.load(compose_file.example() | {"LIMIT_CPU": ""})["services"]
    assert services["service"]["environment"]["LIMIT_CPU"] == ""


def test_each_waits_until_what_it_needs_is_healthy(services):
    needs = {name: service.get("depends_on", {}) for name, service in services.items()}
    healthy = {"condition": "service_healthy"}
    assert needs == {
        "influxdb": {},
        "service": {"influxdb": healthy},
        "dashboard": {"service": healthy},
        "simulator": {"service": healthy},
    }


def test_what_is_waited_for_has_a_health_check(services):
    assert services["influxdb"]["healthcheck"]["test"][:3] == ["CMD", "influx", "ping"]
    for role, port in (("service", 8000), ("dashboard", 4173)):
        assert f"'http://127.0.0.1:{port}/-/ready'" in services[role]["healthcheck"]["test"][-1]
    assert services["simulator"]["healthcheck"] == {"disable": True}


@pytest.mark.parametrize("role", OURS)
def test_ours_run_without_privileges(services, role):
    service = services[role]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp:size=64m,mode=1777"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices"}


def test_every_service_has_limits_and_starts_again(services):
    for service in services.values():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
        assert service["restart"] in ("unless-stopped", "on-failure")
        assert service["logging"]["options"]["max-size"] == "10m"


def test_what_is_kept_is_on_named_volumes(compose):
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", ())]
    assert {mount.split(":")[0] for mount in mounts} == set(compose["volumes"])
    assert "data:/data" in compose["services"]["service"]["volumes"]


def test_the_example_file_sets_no_url():
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if re.match(r"\w*URL=", line)] == []


def test_the_example_file_is_usable_for_a_local_start_too(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert load_settings({}, Path(".env.example")).notices() == [
        "INFLUXDB_URL is not set, so samples are kept in the embedded store."
    ]


def test_what_must_be_changed_is_marked():
    assert "CHANGE" in (ROOT / ".env.example").read_text()
    assert all("change-me" in path.read_text() for path in (ROOT / "secrets" / "trial").iterdir())
