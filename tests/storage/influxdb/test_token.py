"""The least that a token needs, on a real server: read and write on the four buckets, which exist already."""

import uuid

import pytest
from influxdb_client import InfluxDBClient, Permission, PermissionResource

from monitor_core.scores import empty_scores
from monitor_core.storage.influxdb.connection import Connection
from monitor_core.storage.influxdb.store import InfluxStore
from monitor_core.storage.timeseries import StoreUnavailable
from tests.builders import T0, steady
from tests.external import influxdb_server

pytestmark = pytest.mark.external_service
SUFFIXES = ("", "_minute", "_half_hour", "_anomalies")
DAY = 86_400_000


@pytest.fixture
def bucket():
    name = f"token-{uuid.uuid4().hex[:8]}"
    yield name
    connection = Connection(*influxdb_server())
    for suffix in SUFFIXES:
        connection.remove_bucket(f"{name}{suffix}")
    connection.close()


def token_for(names):
    """A token that may read and write these buckets and nothing else."""
    url, token, org = influxdb_server()
    with InfluxDBClient(url, token, org=org) as client:
        org_id = client.organizations_api().find_organizations(org=org)[0].id
        buckets = [client.buckets_api().find_bucket_by_name(name) for name in names]
        permissions = [
            Permission(action, PermissionResource(type="buckets", id=found.id, org_id=org_id))
            for found in buckets
            for action in ("read", "write")
        ]
        return client.authorizations_api().create_authorization(org_id, permissions).token


def store_with(token, bucket, folder):
    url, _, org = influxdb_server()
    return InfluxStore(Connection(url, token, org), bucket, folder)


def test_read_and_write_on_the_buckets_is_enough(bucket, tmp_path):
    made = Connection(*influxdb_server())
    for suffix in SUFFIXES:
        made.create_bucket(f"{bucket}{suffix}", 0, "")
    store = store_with(token_for([f"{bucket}{suffix}" for suffix in SUFFIXES]), bucket, tmp_path)
    assert store.write(steady(n=100), empty_scores(100, 4)) == []
    store.maintain(T0 + DAY)
    assert len(store.series("web-1", T0, T0 + DAY, 1440).time) == 5
    assert store.series("web-1", T0, T0 + DAY, 1440).tier == "minute"
    store.forget("web-1")
    assert len(store.series("web-1", T0, T0 + DAY, 1440).time) == 0
    assert store.health().notices[0] == f"The bucket {bucket} keeps its points for ever, not 30 days as set here."
    store.close()


def test_without_the_other_buckets_it_says_what_to_do_in_one_line(bucket, tmp_path):
    made = Connection(*influxdb_server())
    made.create_bucket(bucket, 0, "")
    store = store_with(token_for([bucket]), bucket, tmp_path)
    with pytest.raises(StoreUnavailable) as fault:
        store.write(steady(n=10), empty_scores(10, 4))
    assert str(fault.value) == (
        f"InfluxDB has no bucket {bucket}_minute that this token may see, and the token may not create one: create it"
        " with a retention of 90 days and let the token read and write it"
    )
    assert fault.value.needs_operator
    store.close()


def test_a_wrong_token_is_said_without_it(bucket, tmp_path):
    store = store_with("canary-token", bucket, tmp_path)
    health = store.health()
    assert not health.reachable
    assert "401" in health.error
    assert "canary" not in health.error
    store.close()
