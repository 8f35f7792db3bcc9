"""Access: who may call what, how large a body may be, and how errors look (RFC 9457, never echoing the input).

Without API_TOKEN everything is open, which is why the service listens on 127.0.0.1. With it every call but the health
ones needs the token, as `Authorization: Bearer …` or as the cookie that `/api/session` sets for the pages. Who guesses
is not listened to for a while (`attempts.py`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor_core.service.attempts import Attempts, address_of

COOKIE = "monitor_session"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN_PATHS = frozenset({"/health", "/ping", "/-/healthy", "/-/ready", "/api/session"})
OPEN_PREFIXES = ("/assets/",)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Problem(Exception):
    """An error answer; `detail` is a sentence of ours, never the caller's bytes."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, headers, more


def problem_response(problem: Problem) -> Response:
    """application/problem+json."""
    title = HTTPStatus(problem.status).phrase
    body = {"type": "about:blank", "title": title, "status": problem.status, "detail": problem.detail, **problem.more}
    return Response(orjson.dumps(body), problem.status, problem.headers, "application/problem+json")


class Token:
    """The API token; None: nobody needs one. Compared in constant time, as digests of equal length."""

    def __init__(self, token: str | None, attempts: Attempts | None = None) -> None:
        self._attempts = attempts or Attempts()
        self._digest = hashlib.sha256(token.encode()).digest() if token else None
        self.session = hmac.new(token.encode(), b"session", hashlib.sha256).hexdigest() if token else ""

    @property
    def required(self) -> bool:
        return self._digest is not None

    def matches(self, offered: str) -> bool:
        if self._digest is None:
            return True
        given = hashlib.sha256(offered.encode("utf-8", "surrogatepass")).digest()
        return hmac.compare_digest(given, self._digest)

    def logs_in(self, scope: Scope, offered: str) -> bool:
        """Is it the token? Raises Problem when too many wrong ones came from there."""
        if self._digest is None:
            return True
        address = address_of(scope)
        self._refuse_guesses(address)
        if not self.matches(offered):
            self._attempts.was_wrong(address, offered)
            return False
        self._attempts.was_right(address)
        return True

    def admits(self, scope: Scope, headers: Headers) -> bool:
        """By header or by cookie; two Authorization headers are one too many. Raises Problem as `logs_in`."""
        if self._digest is None:
            return True
        given = headers.getlist("authorization")
        if not given:  # nobody guesses 256 bits of a cookie
            return hmac.compare_digest(_cookie(headers).encode("utf-8", "surrogatepass"), self.session.encode())
        address = address_of(scope)
        if not self._attempts.is_known(address):
            self._refuse_guesses(address)
        scheme, _, value = given[0].partition(" ")
        if len(given) == 1 and scheme.lower() in ("bearer", "token") and self.matches(value):
            self._attempts.know(address)
            return True
        self._attempts.was_wrong(address, value)
        return False

    def _refuse_guesses(self, address: str) -> None:
        seconds = self._attempts.seconds_to_wait(address)
        if seconds:
            said = f"Too many wrong tokens came from this address. Try again in {seconds} seconds."
            raise Problem(429, said, {"Retry-After": str(seconds)})


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


@lru_cache(maxsize=64)
def _host_in(authority: str) -> str | None:
    try:
        return urlsplit(f"//{authority}").hostname
    except ValueError:
        return None


def names_of(address: str, token: Token, public_url: str | None) -> frozenset[str] | None:
    """By which names a service may be called that only this machine can reach; None: by any.

    Otherwise a page from elsewhere, whose own name is made to point to this machine, would pass for one of ours.
    """
    if token.required or address not in LOOPBACK:
        return None
    public = urlsplit(public_url or "").hostname
    return LOOPBACK | ({public} if public else set())


class Guard:
    """ASGI middleware in front of the API. `own_names`: what it may be called, None: anything."""

    def __init__(
        self,
        app: ASGIApp,
        token: Token,
        max_body_bytes: int,
        origins: Iterable[str],
        own_names: frozenset[str] | None = None,
    ) -> None:
        self._app, self._token, self._limit = app, token, max_body_bytes
        self._origins, self._own_names = frozenset(origins), own_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            await self._app(scope, self._limited(receive), send)
        except Problem as problem:
            await problem_response(problem)(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        path, names = scope["path"], {name for name, _ in scope["headers"]}
        headers = Headers(scope=scope)
        # every look into `headers` decodes all of them, so it is only asked for what is there
        length = headers.get("content-length", "0") if b"content-length" in names else "0"
        if not length.isdigit():
            raise Problem(400, "Content-Length is not a number.")
        if int(length[:20]) > self._limit:
            raise self._too_large()
        if b"origin" in names and scope["method"] not in SAFE_METHODS and not self._same_origin(headers):
            raise Problem(403, "Another site may not do this in your name.")
        if self._own_names is not None and _host_in(headers.get("host", "localhost")) not in self._own_names:
            raise Problem(403, "This service is not known by that name: set PUBLIC_URL to it, or API_TOKEN.")
        if scope["method"] == "OPTIONS" or path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            return
        if not self._token.admits(scope, headers):
            raise Problem(401, "This needs the API token.", {"WWW-Authenticate": "Bearer"})

    def _same_origin(self, headers: Headers) -> bool:
        """A browser names the page's origin on every POST; programs do not."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return True
        try:
            return urlsplit(origin).netloc == headers.get("host")
        except ValueError:
            return False

    def _limited(self, receive: Receive) -> Receive:
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> Problem:
        return Problem(413, f"The body is larger than {self._limit} bytes.")
