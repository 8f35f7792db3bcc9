import pytest

from monitor_core.alerting.routing import RoutingReason, route
from monitor_core.incidents import Severity
from monitor_core.labels import Label
from monitor_core.notifications import Event
from tests.builders import incident

WARNING = {"severity": Severity.WARNING}
CASES = [
    (Event.OPENED, {}, ["slack"], ("slack",), RoutingReason.FIRST_NOTIFICATION),
    (Event.OPENED, {"from_history": True}, ["slack"], (), RoutingReason.FROM_HISTORY),
    (Event.OPENED, {"told": True}, ["slack"], (), RoutingReason.ALREADY_TOLD),
    (Event.OPENED, {}, [], (), RoutingReason.NO_CHANNEL),
    (Event.OPENED, WARNING | {"expected_now": True}, ["slack"], (), RoutingReason.EXPECTED_NOW),
    (Event.OPENED, {"expected_now": True}, ["slack"], ("slack",), RoutingReason.FIRST_NOTIFICATION),
    (Event.OPENED, WARNING | {"label": Label.NEVER}, ["slack"], (), RoutingReason.LABELLED),
    (Event.OPENED, WARNING | {"label": Label.EXPECTED}, ["slack"], (), RoutingReason.LABELLED),
    (Event.OPENED, WARNING | {"label": Label.REAL}, ["slack"], ("slack",), RoutingReason.FIRST_NOTIFICATION),
    (Event.OPENED, {"label": Label.NEVER}, ["slack"], ("slack",), RoutingReason.FIRST_NOTIFICATION),
    (Event.RESOLVED, {"told": True}, ["slack", "console"], ("slack", "console"), RoutingReason.RESOLVED_AFTER_TOLD),
    (Event.RESOLVED, {}, ["slack"], (), RoutingReason.NOT_TOLD_WHEN_OPENED),
]


@pytest.mark.parametrize(("event", "changes", "channels", "told", "reason"), CASES)
def test_it_tells_an_episode_once_and_says_why(event, changes, channels, told, reason):
    routed = route(event, incident(**changes), channels)
    assert (routed.channels, routed.reason) == (told, reason)
