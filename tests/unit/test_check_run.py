from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modelferry.check_run import EXCERPT, CheckResult, run_checks
from modelferry.checks import Check, parse_checks


class App(BaseHTTPRequestHandler):
    """Tells back what it got; /once-more is 503 until it was asked three times."""

    asked: int

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = 200
        match self.path:
            case "/once-more":
                type(self).asked += 1
                status = 200 if self.asked == 3 else 503
            case "/moved":
                status = 301
            case "/made":
                status = 201
            case "/gone":
                status = 404
            case "/cut":
                self.close_connection = True
                self.connection.close()
                return
        self.send_response(status)
        self.send_header("Location", "/made")
        self.end_headers()
        if self.command != "HEAD":
            told = f"{self.command} {self.path} {self.headers.get('Content-Type')}\n".encode()
            self.wfile.write(told + body + b"\n" + b"." * 1000)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def url() -> Iterator[str]:
    App.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), App)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def checks(text: str) -> tuple[Check, ...]:
    parsed, faults = parse_checks(text)
    assert not faults
    return parsed


def run(text: str, url: str, workspace: Path = Path(), timeout_s: float = 0.0, **options):
    return run_checks(
        checks(text),
        url,
        workspace=workspace,
        start_timeout_s=timeout_s,
        **({"sleep": lambda _: None} | options),
    )


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        ("GET /", True),
        ("HEAD /", True),
        ("DELETE /", True),
        ("PUT / {} contains application/json", True),
        ('PATCH / {"a": "=> 3"} contains {"a": "=> 3"}', True),
        ("POST /made", True),  # any 2xx
        ("POST /made => 200", False),
        ("GET /moved", False),  # not followed
        ("GET /moved => 301", True),
        ("GET /gone => 404", True),
        ("GET /gone", False),
        ("GET / contains elsewhere", False),
    ],
)
def test_status_and_text_decide(url, line, passed):
    (result,) = run(line, url)
    assert result.passed is passed


def test_a_file_is_the_body_as_it_is(url, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"\x00cat")
    results = run(
        "PUT / @cat.png contains image/png\nPUT / @cat.png contains \x00cat", url, tmp_path
    )
    assert [result.passed for result in results] == [True, True]


def test_a_file_can_be_a_part_of_a_form(url, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    line = 'POST / image=@cat.png contains name="image"; filename="cat.png"'
    (result,) = run(line, url, tmp_path)
    assert result.passed, result


def test_only_the_first_is_sent_again(url):
    waits: list[float] = []
    first, second = run("GET /once-more\nGET /gone", url, timeout_s=5, sleep=waits.append)
    assert (first.passed, second.passed) == (True, False)
    assert (App.asked, len(waits)) == (3, 2)


def test_the_first_is_given_up_when_time_is_up(url):
    now = iter(range(100))
    (result,) = run("GET /gone", url, timeout_s=5, clock=lambda: float(next(now)))
    assert (result.passed, result.status) == (False, 404)


def test_what_ends_the_wait_is_raised(url):
    class ItDied(Exception):
        pass

    def still_up():
        raise ItDied

    with pytest.raises(ItDied):
        run("GET /gone", url, timeout_s=60, still_up=still_up)


def test_no_answer_is_a_result(url):
    cut, good = run("GET /cut\nGET /", url)
    assert (cut.passed, cut.status) == (False, None)
    assert "ProtocolError" in cut.excerpt
    assert good.passed
    (refused,) = run("GET /", "http://127.0.0.1:1")
    assert str(refused).startswith("GET / → no answer, wanted any 2xx: NewConnectionError")


def test_a_result_shows_what_was_answered_in_one_short_line(url):
    (result,) = run("GET /gone contains cat", url)
    assert str(result).startswith(
        "GET /gone → 404, wanted any 2xx containing 'cat': GET /gone None ..."
    )
    assert "\n" not in str(result)
    assert len(str(result)) < EXCERPT + 100


def test_a_good_result_tells_its_time():
    (check,) = checks("GET / => 200")
    result = CheckResult(check=check, passed=True, status=200, excerpt="", seconds=0.25)
    assert str(result) == "GET / → 200 in 0.2 s"


def test_as_a_user_each_is_sent_again(url):
    good, late = run("GET /\nGET /once-more", url, timeout_s=5, as_user=True)
    assert (good.passed, late.passed) == (True, True)
    assert App.asked == 3


def test_only_a_user_goes_by_the_proxy(url, monkeypatch):
    """The app stands in for a proxy: it is asked for the whole address."""
    monkeypatch.setenv("http_proxy", url.replace("://", "://some:p%40ss@"))
    monkeypatch.setenv("no_proxy", "inner.example.org")
    line = "GET /version contains GET http://score.example.org/version"
    (by_proxy,) = run(line, "http://score.example.org", as_user=True)
    assert by_proxy.passed, by_proxy
    (direct,) = run("GET / contains GET / ", url)
    assert direct.passed, direct
    (left_out,) = run("GET /", "http://inner.example.org:1", as_user=True)
    assert left_out.status is None
