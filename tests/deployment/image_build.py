"""Building the real Dockerfile without a container engine; image_check.py starts what comes out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.deployment.compose_file import ROOT

TOOLS = {"buildah": "buildah", "debootstrap": "debootstrap", "unshare": "util-linux"}
IMAGE = "localhost/smart-infra-monitor-check"
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failed(Exception):
    """Something is not as it must be; the text says what."""


def say(text: str) -> None:
    print(text, flush=True)


def run(*command: str, **environ: str) -> str:
    """Its standard output; its standard error only when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environ)
    if done.returncode:
        raise Failed(f"{' '.join(command[:4])} … ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout.strip()


def install_tools() -> None:
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        say(f"installing {' and '.join(missing)}")
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, DEBIAN_FRONTEND="noninteractive")


class Builder:
    """buildah with a storage of its own, gone with the folder: with vfs nothing stays mounted, also after a failure."""

    def __init__(self, folder: Path) -> None:
        at = ("--root", f"{folder}/storage", "--runroot", f"{folder}/run")
        self._command = ("buildah", "--storage-driver", "vfs", *at)

    def __call__(self, *arguments: str) -> str:
        return run(*self._command, *arguments)

    def make_base(self, name: str) -> None:
        """A Debian with Python, under the name that the Dockerfile begins FROM."""
        container = self("from", "scratch")
        root = self("mount", container)
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root)
        # where the official image has them
        Path(root, "usr/local/bin/python").symlink_to("/usr/bin/python3")
        Path(root, "usr/local/bin/pip").symlink_to("/usr/bin/pip3")
        self("config", "--env", f"PATH={PATH}", container)
        self("commit", "--quiet", "--rm", container, name)

    def build(self) -> dict[str, Any]:
        """The Dockerfile as it is. Returns the image's configuration."""
        # a network with a certificate authority of its own: known while building, never part of the image
        certificates = ("-v", "/etc/ssl/certs:/etc/ssl/certs:ro") if Path("/etc/ssl/certs").is_dir() else ()
        options = ("--isolation", "chroot", "--network", "host", "--format", "docker", "--pull-never", *certificates)
        self("bud", *options, "--tag", IMAGE, str(ROOT))
        return json.loads(self("inspect", "--type", "image", IMAGE))["Docker"]["config"]

    def root(self) -> Path:
        return Path(self("mount", self("from", "--pull-never", IMAGE)))
