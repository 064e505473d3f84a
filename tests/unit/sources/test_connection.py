from __future__ import annotations

import pytest

from modelferry.sources.connection import client_options, proxy_for

NAMES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxy"),
    [
        ("https://acct.blob.core.windows.net", "", "http://proxy:3128"),
        ("https://acct.blob.core.windows.net", "core.windows.net", None),
        ("https://acct.blob.core.windows.net", ".windows.net", None),
        ("https://acct.blob.core.windows.net", "windows.example", "http://proxy:3128"),
        ("https://10.1.2.3:10000/acct", "10.1.2.3:10000", None),
        ("https://10.1.2.3:10000/acct", "10.1.2.3:10001", "http://proxy:3128"),
        ("https://10.1.2.3:10000/acct", "example.com, 10.0.0.0/8", None),
        ("https://10.1.2.3:10000/acct", "192.168.0.0/16,no/network", "http://proxy:3128"),
        ("https://acct.blob.core.windows.net", "*", None),
        ("http://plain.example", "", None),
    ],
)
def test_reads_the_environment_as_curl_does(
    monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str, proxy: str | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(url) == proxy
    options = client_options(url)
    if proxy:
        assert options.get("proxy_url") == proxy
        assert "proxy_excludes" not in options
    else:
        host = url.split("/")[2].partition(":")[0]
        assert options.get("proxy_excludes") == host, "obstore must not find the proxy by itself"


def test_without_a_proxy_nothing_is_said_of_one() -> None:
    options = client_options("http://127.0.0.1:10000/acct")
    assert "proxy_url" not in options
    assert options.get("allow_http") is True
    assert client_options("https://x").get("allow_http") is False
    assert {"connect_timeout", "read_timeout", "timeout"} <= set(options)
