"""Backend: the service as the dashboard's server reaches it, over HTTP. The token is added here and nowhere else.

What goes wrong on the way becomes a `Problem` in a sentence of ours: no address, nothing of what was sent.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy

import requests

from monitor_core.service.access import SAFE_METHODS, Problem

CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0
SILENT_SECONDS = 5.0
THREADS = 16
MOST_AT_ONCE = 128
# The service answers with more than these, but the rest (lengths, Date, Server, cookies) is between it and this server.
PASSED_BACK = (
    "allow",
    "cache-control",
    "content-disposition",
    "content-type",
    "etag",
    "last-modified",
    "location",
    "retry-after",
    "x-version",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered; only headers that concern the browser."""

    status: int
    headers: dict[str, str]
    body: bytes


class Backend:
    """The service at `url`. One session a thread: sessions are not made to be shared."""

    def __init__(
        self,
        url: str,
        token: str | None,
        read_seconds: float = READ_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._url, self._token = url, token
        self._read_seconds, self.silent_seconds = read_seconds, silent_seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="backend")
        self._own = threading.local()
        self._at_once = 0

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        read_seconds: float | None = None,
    ) -> Answer:
        """`target` is path and query. Raises Problem."""
        if self._at_once >= MOST_AT_ONCE:  # a service that hangs must not gather requests that nobody waits for
            raise Problem(503, "Too many requests wait for the service.", {"Retry-After": "1"})
        self._at_once += 1
        try:
            loop = asyncio.get_running_loop()
            seconds = read_seconds or self._read_seconds
            return await loop.run_in_executor(
                self._threads, self._ask, method, target, dict(headers or {}), body, seconds
            )
        finally:
            self._at_once -= 1

    def events(self, topic: str, host: str | None) -> Iterator[bytes]:
        """One live stream, event by event, in the caller's thread, until the service ends it. Raises Problem."""
        query = {"topic": topic, "host": host} if host else {"topic": topic}
        address = f"{self._url}/api/stream"
        limits = (CONNECT_SECONDS, self.silent_seconds)
        with (
            _in_our_words(),
            self._session() as session,
            session.get(address, params=query, stream=True, timeout=limits, allow_redirects=False) as answer,
        ):
            _refuse_refusals(answer)
            if answer.status_code != 200 or not answer.headers.get("content-type", "").startswith("text/event-stream"):
                raise Problem(502, "The service has no live stream now.")
            rest = b""
            for piece in answer.iter_content(None):
                *whole, rest = (rest + piece).split(b"\n\n")
                for event in whole:
                    yield event + b"\n\n"

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, method: str, target: str, headers: dict[str, str], body: bytes, read_seconds: float) -> Answer:
        session = self._session_of_this_thread()

        def send() -> requests.Response:
            return session.request(
                method,
                self._url + target,
                headers=headers,
                data=body or None,
                timeout=(CONNECT_SECONDS, read_seconds),
                allow_redirects=False,
            )

        with _in_our_words():
            try:
                answer = send()
            except requests.ConnectionError as error:
                if isinstance(error, requests.Timeout) or method not in SAFE_METHODS:
                    raise
                # The service ends connections that idle, sometimes just as one is used again.
                answer = send()
        _refuse_refusals(answer)
        return Answer(answer.status_code, self._passed_back(answer), answer.content)

    def _passed_back(self, answer: requests.Response) -> dict[str, str]:
        headers = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
        if "location" in headers:  # as seen from the browser, who must not know where the service is
            headers["location"] = headers["location"].removeprefix(self._url)
        return headers

    def _session_of_this_thread(self) -> requests.Session:
        if not hasattr(self._own, "session"):
            self._own.session = self._session()
        session: requests.Session = self._own.session
        return session

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        # a cookie that the service sets for one browser must not be sent for another
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers["Accept-Encoding"] = "identity"
        if self._token:
            session.headers["Authorization"] = f"Bearer {self._token}"
        return session


def _refuse_refusals(answer: requests.Response) -> None:
    """Whoever asks here has shown the token that this process knows: asking them again would not help."""
    if answer.status_code == 401:
        raise Problem(502, "The service does not accept this dashboard's API_TOKEN.")


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except requests.Timeout:
        raise Problem(504, "The service did not answer in time.") from None
    except requests.RequestException:
        raise Problem(502, "The service does not answer.") from None
