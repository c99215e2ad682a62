"""Both kinds of token on a real server, and addresses at which something else answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest

from annotation.server_api import LabelStudioServer
from annotation.server_auth import TokenAuth, explain_refusal, token_kind
from voxdata.errors import AnnotationError, TransientError
from voxdata.testing.annotation_queue import make_entry

if TYPE_CHECKING:
    from tests.annotation.conftest import RunningServer


def make_token(**claims: object) -> str:
    """A JWT by its form; nobody signed it."""
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    return ".".join(
        [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        + ["c2lnbmVk"]
    )


PERSONAL = make_token(token_type="refresh", exp=4_000_000_000)
ACCESS = make_token(token_type="access", exp=4_000_000_000)
LEGACY = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (PERSONAL, "personal"),
        (ACCESS, "access"),
        (LEGACY, "legacy"),
        ("a.b.c", "legacy"),
        ("", "legacy"),
        ("x.e30.y", "legacy"),
    ],
)
def test_token_kind_goes_by_the_form(token: str, kind: str) -> None:
    assert token_kind(token) == kind


@dataclass
class Answers:
    """A little server: what it says to each request, and what it was asked."""

    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    answer: Callable[[str, str, str], tuple[int, dict[str, str], str]] = (
        lambda method, path, header: (404, {}, "")
    )


@pytest.fixture
def elsewhere() -> Iterator[Answers]:
    made = Answers()

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            header = self.headers.get("Authorization") or ""
            made.asked.append((self.command, self.path, header))
            status, headers, body = made.answer(self.command, self.path, header)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = reply

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def ask(url: str, token: str = LEGACY) -> object:
    """The first call of every command: which projects there are."""
    server = LabelStudioServer(url=url, token=token)
    with server.errors("find the project"):
        return server.read_page("/api/projects/?page_size=100&page=1", kind=dict)


HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (
            200,
            HTML,
            "<html><head><title>Log in\n here</title></head></html>",
            'answers with a page "Log in here"',
        ),
        (404, HTML, "<h1>Not found</h1>", r"answers with a page \(status 404\)"),
        (401, HTML, "<title>401 Authorization Required</title>", "answers with a page"),
        (403, HTML, "<title>Just a moment...</title>", "answers with a page"),
        (200, {"Content-Type": "text/plain"}, "hello", "is no JSON"),
        (200, {}, "", "is no JSON"),
        (200, JSON, "<html>", "is no JSON"),
        (200, JSON, '{"status": "ok"}', "gives other values"),
        (200, JSON, "[]", "gives other values"),
        (200, JSON, '"up"', "gives other values"),
        (404, JSON, '{"detail": "Not Found"}', "knows no /api/projects/"),
        (401, JSON, '{"exception_message": "Unauthorized"}', "not in Label Studio's words"),
        (302, {"Location": "/login?next=/api"}, "", "redirects to http://127.0.0.1"),
        (
            302,
            {"Location": "https://sso.example.org/auth"},
            "",
            "redirects to https://sso.example.org/auth",
        ),
    ],
)
def test_request_names_an_address_that_is_not_label_studio(
    elsewhere: Answers,
    status: int,
    headers: dict[str, str],
    body: str,
    words: str,
) -> None:
    elsewhere.answer = lambda *_: (status, headers, body)
    with pytest.raises(AnnotationError, match=words) as caught:
        ask(elsewhere.url)
    assert elsewhere.url in str(caught.value)
    assert "VOXDATA_LABEL_STUDIO_URL" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("path", ["", "/labels"])
def test_request_names_the_address_to_use_when_it_is_sent_to_https(
    elsewhere: Answers, status: int, path: str
) -> None:
    elsewhere.answer = lambda method, asked, header: (
        status,
        {"Location": f"https://labels.example.org{asked}"},
        "",
    )
    with pytest.raises(
        AnnotationError, match=f"set VOXDATA_LABEL_STUDIO_URL=https://labels.example.org{path}$"
    ):
        ask(elsewhere.url + path)


def test_request_never_sends_a_token_to_where_it_is_redirected(elsewhere: Answers) -> None:
    elsewhere.answer = lambda method, path, header: (
        302,
        {"Location": f"{elsewhere.url}/stolen"},
        "",
    )
    with pytest.raises(AnnotationError):
        ask(elsewhere.url)
    assert len(elsewhere.asked) == 1


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://127.0.0.1", "labels.example.org"])
def test_request_names_an_address_without_a_scheme(url: str) -> None:
    with pytest.raises(AnnotationError, match="begins with http:// or https://"):
        ask(url)


def test_request_hints_at_http_when_https_is_not_spoken(elsewhere: Answers) -> None:
    with pytest.raises(TransientError, match="may speak http and not https"):
        ask(elsewhere.url.replace("http://", "https://"))


def test_request_takes_a_page_of_a_proxy_for_a_hiccup_when_the_server_fails(
    elsewhere: Answers,
) -> None:
    elsewhere.answer = lambda *_: (502, HTML, "<title>502 Bad Gateway</title>")
    with pytest.raises(TransientError, match="status 502"):
        ask(elsewhere.url)


def exchange(lives: int) -> Callable[[str, str, str], tuple[int, dict[str, str], str]]:
    """A server whose access tokens are taken `lives` times each."""
    given: list[int] = []

    def answer(
        method: str,
        path: str,
        header: str,
    ) -> tuple[int, dict[str, str], str]:
        if path == "/api/token/refresh/":
            given.append(0)
            return 200, JSON, json.dumps({"access": f"access-{len(given)}"})
        if header != f"Bearer access-{len(given)}" or given[-1] >= lives:
            return 401, JSON, '{"detail": "Given token not valid for any token type"}'
        given[-1] += 1
        return 200, JSON, '{"results": [], "next": null}'

    return answer


def test_personal_token_is_exchanged_once_and_again_when_it_is_refused(elsewhere: Answers) -> None:
    elsewhere.answer = exchange(lives=2)
    server = LabelStudioServer(url=elsewhere.url, token=f" {PERSONAL}\n")
    status_codes = [server.request("GET", "/api/projects/").status_code for _ in range(5)]
    assert status_codes == [200] * 5
    assert sum(path == "/api/token/refresh/" for _, path, _ in elsewhere.asked) == 3
    assert not [header for _, _, header in elsewhere.asked if PERSONAL in header]


def test_personal_token_is_exchanged_once_by_several_threads(elsewhere: Answers) -> None:
    elsewhere.answer = exchange(lives=1_000)
    server = LabelStudioServer(url=elsewhere.url, token=PERSONAL)
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(
            pool.map(lambda _: server.request("GET", "/api/projects/").status_code, range(40))
        )
    assert found == [200] * 40
    assert sum(path == "/api/token/refresh/" for _, path, _ in elsewhere.asked) == 1


def test_personal_token_gives_up_when_a_fresh_one_is_refused(elsewhere: Answers) -> None:
    elsewhere.answer = exchange(lives=0)
    with pytest.raises(AnnotationError, match="does not take the token"):
        ask(elsewhere.url, PERSONAL)
    assert len(elsewhere.asked) == 4


def test_personal_token_names_a_server_that_knows_no_exchange(elsewhere: Answers) -> None:
    elsewhere.answer = lambda *_: (404, JSON, '{"detail": "Not Found"}')
    with pytest.raises(AnnotationError, match=r"older than 1\.17"):
        ask(elsewhere.url, PERSONAL)


def test_personal_token_follows_no_redirect_with_the_exchange(elsewhere: Answers) -> None:
    elsewhere.answer = lambda method, path, header: (
        301,
        {"Location": f"https://labels.example.org{path}"},
        "",
    )
    with pytest.raises(
        AnnotationError, match=r"set VOXDATA_LABEL_STUDIO_URL=https://labels.example.org$"
    ):
        ask(elsewhere.url, PERSONAL)


def test_personal_token_takes_a_failing_exchange_for_a_hiccup(elsewhere: Answers) -> None:
    elsewhere.answer = lambda *_: (503, HTML, "<title>down</title>")
    with pytest.raises(TransientError, match="status 503"):
        ask(elsewhere.url, PERSONAL)


@pytest.mark.parametrize("token", ["two words", "tökén", ""])
def test_token_that_is_none_is_refused_before_it_leaves(elsewhere: Answers, token: str) -> None:
    with pytest.raises(AnnotationError, match="is no token"):
        ask(elsewhere.url, token)
    assert elsewhere.asked == []


def test_access_token_is_refused_before_it_leaves(elsewhere: Answers) -> None:
    with pytest.raises(AnnotationError, match=r"lives five minutes.*Personal Access Token"):
        ask(elsewhere.url, ACCESS)
    assert elsewhere.asked == []


# --- the real server


@pytest.fixture(scope="module")
def personal_token(label_studio: RunningServer) -> str:
    """Made as a person makes it on the account page."""
    email = "holder@voxdata.local"
    with label_studio.as_admin() as client:
        settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
        client.post("/api/jwt/settings", json=settings).raise_for_status()
    session = label_studio.as_person(email)
    made = session.post("/api/token/")
    session.close()
    made.raise_for_status()
    return str(made.json()["token"])


@pytest.mark.slow
def test_queue_works_with_a_personal_token(
    label_studio: RunningServer, personal_token: str, clip_file: str
) -> None:
    queue = label_studio.queue(token=personal_token)
    pushed = queue.push([make_entry(f"u{i}", audio_file=clip_file) for i in range(3)])
    assert pushed.pushed == (
        "u0",
        "u1",
        "u2",
    )
    clip_ids = queue.find_clips(["u0", "u1", "u2"])
    assert set(clip_ids) == {"u0", "u1", "u2"}
    assert queue.pull(since=None).refused == ()


@pytest.mark.slow
def test_personal_token_is_renewed_when_the_server_refuses_the_access_token(
    label_studio: RunningServer, personal_token: str
) -> None:
    auth = TokenAuth(url=label_studio.url, token=personal_token)
    auth._access = ACCESS  # as it is when five minutes have passed
    with httpx.Client(
        base_url=label_studio.url,
        auth=auth,
        trust_env=False,
    ) as client:
        assert client.get("/api/projects/").status_code == 200


@pytest.mark.slow
def test_queue_works_with_a_legacy_token(label_studio: RunningServer) -> None:
    assert label_studio.queue().counts().clips == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "token",
    [LEGACY[::-1], "not-a-token", PERSONAL],
)
def test_wrong_token_says_which_kind_is_wanted_and_where(
    label_studio: RunningServer, token: str
) -> None:
    with pytest.raises(
        AnnotationError,
        match=(
            r"does not take the.*Account & Settings.*Personal Access "
            r"Token.*VOXDATA_LABEL_STUDIO_TOKEN"
        ),
    ):
        ask(label_studio.url, token)


@pytest.mark.slow
def test_legacy_token_says_that_a_personal_one_is_wanted_when_those_are_off(
    label_studio: RunningServer,
) -> None:
    settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False}
    session = label_studio.as_person(label_studio.credentials.email)
    try:
        session.post("/api/jwt/settings", json=settings).raise_for_status()
        with pytest.raises(
            AnnotationError, match="takes no legacy tokens: it wants a personal access token"
        ):
            ask(label_studio.url, label_studio.credentials.token)
    finally:
        session.post(
            "/api/jwt/settings", json={**settings, "legacy_api_tokens_enabled": True}
        ).raise_for_status()
        session.close()


def test_explain_refusal_knows_label_studio_by_its_words_however_they_are_passed_on() -> None:
    told = {"status_code": 401, "detail": "Invalid token."}
    for body in (str(told), json.dumps(told)):
        assert "does not take the token" in explain_refusal("http://127.0.0.1:1", LEGACY, body)
