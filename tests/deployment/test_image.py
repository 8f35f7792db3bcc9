"""The Dockerfile, the lock it installs from, and what the build may see. `make image-check` builds and starts it."""

import re
from pathlib import Path

from tests.deployment import compose_file

ROOT = compose_file.ROOT
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PIN = re.compile(r"^(?P<name>[\w.-]+)(?:\[\w+\])?==(?P<version>\S+)", re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> set[tuple[str, str]]:
    return {(normal(found["name"]), found["version"]) for found in PIN.finditer(text)}


def lock_entries() -> list[str]:
    """One text for each package: its pin and its hashes."""
    return re.split(r"\n(?=\w)", (ROOT / "requirements.lock").read_text())[1:]


def final_stage() -> list[str]:
    return [line for line in DOCKERFILE.split("\nFROM ")[-1].splitlines() if not line.startswith("#")]


def test_every_requirement_is_locked_in_the_same_version():
    wanted = pins((ROOT / "requirements.txt").read_text())
    assert len(wanted) == sum("==" in line for line in (ROOT / "requirements.txt").read_text().splitlines())
    assert wanted - pins("\n".join(lock_entries())) == set()


def test_every_locked_package_has_hashes():
    assert len(lock_entries()) > len(pins((ROOT / "requirements.txt").read_text()))
    assert [entry for entry in lock_entries() if "--hash=sha256:" not in entry] == []


def test_the_lock_names_no_index():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)


def test_the_image_is_installed_from_the_lock_alone():
    assert DOCKERFILE.count(" install --") == 1
    assert " install --require-hashes --only-binary :all: -r /tmp/requirements.lock" in DOCKERFILE
    assert "requirements.txt" not in DOCKERFILE
    assert not any("pip" in line for line in final_stage())


def test_both_stages_begin_with_the_same_pinned_slim_image():
    froms = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(froms) == 2
    assert len(set(froms)) == 1
    assert re.fullmatch(r"docker\.io/library/python:3\.11-slim-\w+", froms[0])


def test_the_image_runs_as_the_user_of_the_compose_file():
    user = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    services = compose_file.load(compose_file.example())["services"]
    assert user == [services["service"]["user"]]


def test_the_image_alone_is_the_service_with_its_health_check():
    service = compose_file.load(compose_file.example())["services"]["service"]
    assert [f'"{word}"' for word in service["command"]] == re.findall(r'"[^"]+"', final_stage()[-1])
    assert service["healthcheck"]["test"][-1] in DOCKERFILE


def test_every_package_of_the_product_is_in_the_image():
    packages = {path.parent.name for path in ROOT.glob("*/*.py")} - {"tests", "benchmarks"}
    assert [name for name in sorted(packages) if f"\nCOPY {name} {name}\n" not in DOCKERFILE] == []


def test_only_what_is_copied_reaches_the_build():
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    assert "*" in ignore
    assert sorted(line.removeprefix("!") for line in ignore if line.startswith("!")) == sorted(copied)
    assert all(Path(ROOT, path).exists() for path in copied)
