"""The product's server and its pages: `streamlit run app.py`.

This file has two roles. Without a Streamlit runtime it builds the server: the pages, and beside them the HTTP API of
the service in this process or (MONITOR_ROLE=dashboard) of one elsewhere. Inside a page run it is the navigation, and
nothing else.
"""

from __future__ import annotations

import sys
import time

import streamlit as st
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config, runtime
from streamlit.runtime.pages_manager import PagesManager

from monitor_core.dashboard.navigation import navigation
from monitor_core.service.api import build_api, is_api_path
from monitor_core.service.bootstrap import Service, build
from monitor_core.service.gateway import Gateway, build_gateway_api
from monitor_core.service.server import CANNOT_START, Served, log_plainly, running, share_memory
from monitor_core.settings import Settings, load_settings_or_exit
from simulator.fleet import simulated_source


class ApiRoute(BaseRoute):
    """Hands the API's paths to the API unchanged; all others are Streamlit's."""

    def __init__(self, api: ASGIApp) -> None:
        self._api = api

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_ours = scope["type"] == "http" and is_api_path(scope["path"])
        return (Match.FULL if is_ours else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._api(scope, receive, send)


def build_served(settings: Settings) -> tuple[Served, ASGIApp]:
    """What this server has behind it, by its role, and the API of that. Ends the program with one line if it cannot."""
    if settings.monitor_role == "dashboard":
        gateway = Gateway(settings)
        gateway.address = address()
        return gateway, build_gateway_api(gateway)
    service = build_service(settings)
    service.address = address()
    return service, build_api(service)


def build_service(settings: Settings) -> Service:
    """The service with the simulated fleet beside this machine."""
    fleet = []
    try:
        if settings.simulated_hosts:
            now_ms = time.time_ns() // 1_000_000
            fleet = [simulated_source(settings.simulated_hosts, settings.simulator_seed, settings.data_dir, now_ms)]
        return build(settings, fleet)
    except CANNOT_START as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def address() -> str:
    """Where this server listens, for a notice."""
    return config.get_option("server.address") or "0.0.0.0"  # noqa: S104 - Streamlit's default


if runtime.exists():
    navigation().run()
else:
    settings = load_settings_or_exit()
    log_plainly(settings.log_level)
    share_memory()
    served, api = build_served(settings)
    # a pages/ folder would switch Streamlit's older way on: deep links would then run a page without this file
    PagesManager.uses_pages_directory = False
    app = st.App(__file__, routes=[ApiRoute(api)], lifespan=lambda _: running(served, settings.request_seconds))
