"""python -m tests.deployment.image_check [ROLE …]: builds the real image and starts it as docker-compose.yml would.

No container engine is needed: buildah builds in a chroot, and each role runs in a mount namespace of its own with the
image as a read-only root, as the image's user, without capabilities and without a way to gain any. All roles share a
network in which they reach nothing but each other, so names and ports are those of the compose file. A Debian with the
same Python stands in for the base image, because the real one would have to come from a registry.

With INFLUXDB_URL in the environment (and INFLUXDB_TOKEN, …) the service finds that server where the compose file says;
otherwise it runs without one.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import queue
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from tests.deployment import compose_file
from tests.deployment.image_build import Builder, Failed, install_tools, say

ROOT = compose_file.ROOT
HEALTHY_WITHIN, SAMPLES_WITHIN, STOP_WITHIN = 60, 60, 10
ROOM = 0.75
# the last: something outside was asked
TROUBLE = ("Traceback", "Read-only file system", "Permission denied", "external IP")
CLONE_NEWNET = 0x40000000
NO_PRIVILEGES = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]

# In a mount namespace of its own: root, then pairs (source, target) up to --, then what chroot starts.
JAIL = """
set -eu
root=$1 tmpfs_at=$2 tmpfs_options=$3; shift 3
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o "noexec,nosuid,nodev,$tmpfs_options" tmpfs "$root$tmpfs_at"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done; shift
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""


class Role:
    """One service of the compose file, in its jail."""

    def __init__(self, name: str, compose: dict[str, Any], image: dict[str, Any], root: Path, folder: Path) -> None:
        self.name, self.service, self._image, self._root = name, compose["services"][name], image, root
        self._log = folder / f"{name}.log"
        self._binds = [*self._secrets(compose), *self._volumes(folder)]
        self.process: subprocess.Popen[bytes] | None = None

    def _secrets(self, compose: dict[str, Any]) -> list[str]:
        pairs = []
        for secret in self.service.get("secrets", ()):
            target = self._root / "run/secrets" / secret
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
            pairs += [str(ROOT / compose["secrets"][secret]["file"]), f"/run/secrets/{secret}"]
        return pairs

    def _volumes(self, folder: Path) -> list[str]:
        """An empty folder each, with the owner that the image gives its mount point, as a new volume gets."""
        pairs = []
        for volume in self.service.get("volumes", ()):
            name, target = volume.split(":")
            owner = Path(f"{self._root}{target}").stat()
            source = folder / "volumes" / name
            source.mkdir(parents=True, exist_ok=True)
            os.chown(source, owner.st_uid, owner.st_gid)
            pairs += [str(source), target]
        return pairs

    def jailed(self, command: list[str]) -> list[str]:
        user, group = self.service["user"].split(":")
        at, _, options = self.service["tmpfs"][0].partition(":")
        environ = self._image["Env"] + [f"{key}={value}" for key, value in self.service["environment"].items()]
        jail = ["unshare", "--mount", "--", "sh", "-c", JAIL, "jail", str(self._root), at, options, *self._binds, "--"]
        settings = ["/usr/bin/env", "-i", "-C", self._image["WorkingDir"], *environ]
        return [*jail, *settings, "/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", *NO_PRIVILEGES, *command]

    def start(self) -> None:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(self.jailed(self.service["command"]), stdout=log, stderr=log)

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def wait_until_healthy(self) -> None:
        """By the compose file's own health check, run where the engine would run it."""
        check = self.service["healthcheck"]
        if check.get("disable"):
            return
        began = time.monotonic()
        until(HEALTHY_WITHIN, f"{self.name} is healthy", lambda: self.tries(check["test"][1:]).returncode == 0, self)
        say(f"  {self.name}: healthy by its own health check after {time.monotonic() - began:.1f} s")

    def tries(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.jailed(command), capture_output=True, text=True, check=False, timeout=30)

    def check_privileges(self) -> None:
        """What the kernel says about the running process, not what was asked for."""
        proc = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
        if "0" in status["Uid"].split() or "0" in status["Gid"].split():
            raise Failed(f"{self.name} runs as root: user {status['Uid']}, group {status['Gid']}")
        if int(status["CapEff"], 16) or int(status["CapBnd"], 16) or status["NoNewPrivs"] != "1":
            raise Failed(f"{self.name} has capabilities or may gain some")
        mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines()]
        if not any(mount[4] == "/" and "ro" in mount[5].split(",") for mount in mounts):
            raise Failed(f"{self.name}: the root is not read-only")
        self._check_writing()
        say(f"  {self.name}: user {status['Uid'].split()[0]}, no capabilities, no way to any, root read-only")
        self._check_limits(int(status["VmHWM"].split()[0]) // 1024, int(status["Threads"]))

    def _check_limits(self, memory: int, threads: int) -> None:
        limits = self.service["deploy"]["resources"]["limits"]
        allowed = int(limits["memory"][:-1]) * {"M": 1, "G": 1024}[limits["memory"][-1]]
        if memory > allowed * ROOM or threads > limits["pids"] * ROOM:
            raise Failed(f"{self.name} has used {memory} of {allowed} MB and {threads} of {limits['pids']} threads")
        say(f"  {self.name}: {memory} of {allowed} MB, {threads} of {limits['pids']} threads")

    def _check_writing(self) -> None:
        for folder in ("/", self._image["WorkingDir"], "/opt/venv"):
            answer = self.tries(["python", "-c", f"open('{folder}/written', 'w')"]).stderr
            if "Read-only file system" not in answer:
                raise Failed(f"{self.name}: {folder} can be written to, or it ends otherwise: {answer[-300:]}")
        if self.tries(["python", "-c", "import tempfile; tempfile.TemporaryFile().write(b'1')"]).returncode:
            raise Failed(f"{self.name}: /tmp cannot be written to")

    def stop(self) -> None:
        """As `docker compose stop` does; what does not end by itself has lost its last words."""
        self.process.terminate()
        try:
            code = self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not stop within {STOP_WITHIN} s") from None
        found = [word for word in TROUBLE if word in self.log()]
        if code not in (0, -15, 143) or found:
            raise Failed(f"{self.name} ended with {code}; in its output: {', '.join(found) or 'nothing unusual'}")
        say(f"  {self.name}: stopped with {code}, nothing unusual in its output")


def until(seconds: float, what: str, true: Callable[[], bool], role: Role) -> None:
    end = time.monotonic() + seconds
    while not true():
        if role.process.poll() is not None:
            raise Failed(f"{role.name} ended with {role.process.returncode}")
        if time.monotonic() > end:
            raise Failed(f"not true within {seconds} s: {what}")
        time.sleep(0.5)


def get(url: str) -> tuple[int, bytes]:
    """(status, body); 0 when nobody answers."""
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except OSError as error:
        return getattr(error, "code", 0), b""


def look_at_service(role: Role, port: str) -> None:
    store = role.service["environment"].get("INFLUXDB_URL")
    if store:
        ping = role.tries(["python", "-c", f"from urllib.request import urlopen; urlopen('{store}/ping', timeout=4)"])
        if ping.returncode:
            raise Failed(f"{role.name}: {store} does not answer: {ping.stderr[-300:]}")
        say(f"  {role.name}: InfluxDB answers at {store}")
    if get(f"http://127.0.0.1:{port}/-/ready")[0] != 200:
        raise Failed("the service is not ready")
    say(f"  {role.name}: /-/ready answers 200 on port {port}")


def look_at_dashboard(role: Role, port: str) -> None:
    for path in ("/-/ready", "/", "/api/v1/hosts"):
        status, body = get(f"http://127.0.0.1:{port}{path}")
        if status != 200 or not body:
            raise Failed(f"the dashboard answers {status} at {path}")
    say(f"  {role.name}: /-/ready, the front page and the API's hosts answer 200 on port {port}")


def look_at_simulator(role: Role, _: str) -> None:
    """Every host of the fleet, and each with a second sample after its first."""
    expected = int(role.service["environment"]["SIMULATED_HOSTS"])
    # the names of the compose file are known in the jails only
    backend = role.service["environment"]["BACKEND_URL"].replace("//service:", "//127.0.0.1:")
    first: dict[str, int] = {}

    def have_come() -> bool:
        hosts = json.loads(get(f"{backend}/api/v1/hosts")[1] or "{}").get("hosts", [])
        newest = {host["name"]: host["last"] or 0 for host in hosts if host["simulated"]}
        for name, last in newest.items():
            first.setdefault(name, last)
        return len(newest) == expected and all(newest[name] > first[name] for name in first)

    until(SAMPLES_WITHIN, f"samples of {expected} simulated hosts arrive, again and again", have_come, role)
    say(f"  {role.name}: samples of {expected} simulated hosts have arrived and go on arriving")


LOOKS = {"service": look_at_service, "dashboard": look_at_dashboard, "simulator": look_at_simulator}


def check_image(image: dict[str, Any], root: Path) -> None:
    """What is in the image, and what is not."""
    user = image.get("User", "")
    if user.split(":")[0] in ("", "0", "root"):
        raise Failed("the image's user is root")
    if not image.get("Healthcheck"):
        raise Failed("the image has no health check")
    unwanted = [name for name in (".env", "secrets", "data", "tests", ".git") if (root / "app" / name).exists()]
    if unwanted:
        raise Failed(f"the image holds {', '.join(unwanted)}")
    if (root / "opt/venv/bin/pip").exists():
        raise Failed("the image's packages hold an installer")
    size = sum(path.stat().st_size for path in (root / "opt/venv").rglob("*") if path.is_file())
    say(f"  image: user {user}, health check, no secret, no test; {size / 1e6:.0f} MB of packages")


def environment(folder: Path) -> dict[str, str]:
    """.env.example as it is, and the InfluxDB of the caller, if there is one."""
    ours = {key: value for key, value in os.environ.items() if key.startswith("INFLUXDB_")}
    token = ours.pop("INFLUXDB_TOKEN", None)
    if token:
        (folder / "token").write_text(token)
        ours["INFLUXDB_TOKEN_FILE"] = str(folder / "token")
    return compose_file.example() | ours


def leave_the_network() -> None:
    """From here on this process and its children have a loopback of their own, and nothing else."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise Failed(f"no network of its own: {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up_and_running = struct.pack("16sh", b"lo", 0x1 | 0x40)
        fcntl.ioctl(any_socket, 0x8914, up_and_running)  # SIOCSIFFLAGS


class Relay:
    """Carries connections from the roles' network on to a server in this machine's. A thread stays in the network in
    which it began, and so do the threads it starts; a socket stays in the one in which it was made."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http":
            raise Failed("INFLUXDB_URL: the image check reaches http:// only")
        self._server = (parts.hostname, parts.port or 80)
        self._listeners: queue.Queue[socket.socket] = queue.Queue()
        threading.Thread(target=self._accept, daemon=True).start()

    def listen(self, port: int) -> None:
        self._listeners.put(socket.create_server(("127.0.0.1", port)))

    def _accept(self) -> None:
        listener = self._listeners.get()
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(self._server)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def check(folder: Path, wanted: list[str]) -> None:
    environ = environment(folder)
    compose = compose_file.load(environ)
    dockerfile = (ROOT / "Dockerfile").read_text().splitlines()
    base = next(line.split()[1] for line in dockerfile if line.startswith("FROM"))
    builder = Builder(folder)
    say(f"making a stand-in for {base}")
    builder.make_base(base)
    say("building the Dockerfile")
    image = builder.build()
    root = builder.root()
    check_image(image, root)
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {' '.join(compose['services'])}\n")

    relay = Relay(environ["INFLUXDB_URL"]) if environ.get("INFLUXDB_URL") else None
    leave_the_network()
    inside = compose["services"]["service"]["environment"]
    if relay:
        relay.listen(urlsplit(inside["INFLUXDB_URL"]).port)
    else:
        del inside["INFLUXDB_URL"]
    roles = [Role(name, compose, image, root, folder) for name in LOOKS if name in wanted]
    try:
        start_and_look(roles)
    except Failed as failure:
        logs = "".join(f"\n--- {role.name}\n{role.log()[-2000:]}" for role in roles)
        raise Failed(f"{failure}{logs}") from None
    finally:
        for role in roles:
            if role.process and role.process.poll() is None:
                role.process.kill()
                role.process.wait()


def start_and_look(roles: list[Role]) -> None:
    for role in roles:
        say(f"starting {role.name}: {' '.join(role.service['command'])}")
        role.start()
        role.wait_until_healthy()
        port = role.service.get("ports", [""])[0].rpartition(":")[2]
        LOOKS[role.name](role, port)
    for role in roles:
        role.check_privileges()
    for role in reversed(roles):
        role.stop()


def main(wanted: list[str]) -> int:
    if os.geteuid() != 0:
        print("the image check needs root: it makes file systems and namespaces", file=sys.stderr)
        return 2
    # also when it is told to stop, what it has started ends and what it has made goes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="image-check-"))
    # the roles' user must be able to reach what is mounted from here
    folder.chmod(0o711)
    try:
        install_tools()
        check(folder, wanted or list(LOOKS))
    except Failed as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"the image works ({time.monotonic() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
