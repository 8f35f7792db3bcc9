import pytest

from tests.conftest import client_of

TOKEN = "canary-token-1234"
OPEN = ["/-/healthy", "/-/ready", "/health", "/ping"]
CLOSED = [
    "/metrics",
    "/anomalies",
    "/api/state",
    "/api/v1/hosts",
    "/api/v1/models",
    "/api/stream",
    "/docs",
    "/openapi.json",
]
BAD = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    f"Bearer {TOKEN[:-1]}",
    f"Bearer {TOKEN.upper()}",
    f"Basic {TOKEN}",
    TOKEN,
]


@pytest.fixture
def guarded(start):
    return client_of(start(api_token=TOKEN))


@pytest.mark.parametrize("path", OPEN)
def test_health_needs_no_token(guarded, path):
    assert guarded.get(path).status_code in (200, 204)


@pytest.mark.parametrize("path", CLOSED)
def test_everything_else_does(guarded, path):
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/ingest", "/predict", "/anomaly", "/api/v1/models/train", "/api/v1/hosts/a/forget"])
def test_no_post_works_without_it(guarded, path):
    assert guarded.post(path, json={"cpu": 1}).status_code == 401


@pytest.mark.parametrize("given", BAD)
def test_a_bad_token_is_refused(guarded, given):
    assert guarded.get("/api/v1/hosts", headers={"Authorization": given}).status_code == 401


def test_a_token_that_is_not_ascii_or_comes_twice_is_refused(guarded):
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")]
    assert guarded.get("/api/v1/hosts", headers=headers).status_code == 401
    assert guarded.get("/api/v1/hosts", headers={"Authorization": "Bearer tök".encode()}).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token"])
def test_the_token_opens(guarded, scheme):
    assert guarded.get("/api/v1/hosts", headers={"Authorization": f"{scheme} {TOKEN}"}).status_code == 200


def test_the_pages_get_a_cookie_that_scripts_cannot_read(guarded):
    assert guarded.post("/api/session", json={"token": "wrong"}).status_code == 401
    answer = guarded.post("/api/session", json={"token": TOKEN})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert guarded.get("/api/v1/hosts").status_code == 200


def test_a_forged_cookie_is_refused(guarded):
    guarded.cookies.set("monitor_session", "0" * 64)
    assert guarded.get("/api/v1/hosts").status_code == 401


def test_another_site_may_not_post(client):
    answer = client.post("/ingest", json={"cpu": 1}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_the_page_itself_may_post(client):
    assert client.post("/ingest", json={"cpu": 1}, headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "", "[", "evil.example:8000"])
def test_a_name_that_was_made_to_point_here_opens_nothing(client, name):
    for method, path in (("GET", "/api/v1/hosts"), ("POST", "/ingest")):
        answer = client.request(method, path, headers={"Host": name, "Origin": f"http://{name}"}, content=b'{"cpu": 1}')
        assert answer.status_code == 403


@pytest.mark.parametrize("name", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "monitor.example.com"])
def test_its_own_names_open_it(start, name):
    client = client_of(start(public_url="https://monitor.example.com/"))
    assert client.get("/api/v1/hosts", headers={"Host": name}).status_code == 200


def test_behind_a_token_or_beyond_loopback_any_name_will_do(start):
    service = start(api_token=TOKEN)
    headers = {"Host": "anything.example", "Authorization": f"Bearer {TOKEN}"}
    assert client_of(service).get("/api/v1/hosts", headers=headers).status_code == 200
    service = start()
    service.address = "0.0.0.0"
    assert client_of(service).get("/api/v1/hosts", headers={"Host": "anything.example"}).status_code == 200


def test_a_body_that_is_too_large_is_413_by_its_length(client, service):
    answer = client.post("/ingest", content=b" " * (service.settings.max_body_bytes + 1))
    assert answer.status_code == 413


def test_a_body_that_is_too_large_is_413_in_pieces(client, service):
    pieces = (b" " * 1_000_000 for _ in range(20))
    assert client.post("/ingest", content=pieces).status_code == 413


def test_unknown_paths_and_bad_parameters_are_problems(client):
    for path, status in [("/api/nothing", 404), ("/api/fleet?range=1y", 422), ("/api/v1/series?host=a%20b", 422)]:
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_the_documentation_loads_nothing_from_elsewhere(client):
    page = client.get("/docs").text
    assert "https://" not in page
    assert client.get("/docs/ui/swagger-ui-bundle.js").status_code == 200


@pytest.mark.parametrize(
    "path", ["../settings.py", "..%2f..%2fsettings.py", "/etc/passwd", "x%00y", "fonts/../../component.py"]
)
def test_no_path_leaves_the_assets(client, path):
    assert client.get(f"/assets/{path}").status_code == 404


def test_plotly_comes_compressed_from_our_own_origin(client):
    answer = client.get("/assets/plotly.min.js", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    again = client.get("/assets/plotly.min.js", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
