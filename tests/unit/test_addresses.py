"""Where a caller's URL may lead: public addresses only, however the host is spelled."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from promptyoself.domain.addresses import Allowed, first_refusal, read_allowed, read_url, refusal
from promptyoself.domain.errors import ConfigError, InvalidInput

PUBLIC = ["93.184.216.34", "1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1"]
NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104  no address to bind to
    "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9",
    "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "168.63.129.16",
    "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8",
    "::ffff:0:1.2.3.4",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:0:7f00:1::80ff:fffe", "2001:2::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::",
    "2002:808:808::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1",
    "fe80::1%eth0",
    "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_taken(text: str) -> None:
    assert refusal(ip_address(text)) is None


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_all_others_are_refused(text: str) -> None:
    assert refusal(ip_address(text))
    shown = f"[{text}]" if ":" in text else text
    with pytest.raises(InvalidInput):
        read_url(f"http://{shown}/")


def test_one_bad_address_refuses_the_name_as_a_whole() -> None:
    good, bad = ip_address("8.8.8.8"), ip_address("10.0.0.1")
    assert first_refusal("a.example", [good], Allowed()) is None
    assert "10.0.0.1" in str(first_refusal("a.example", [good, bad], Allowed()))
    assert "no address" in str(first_refusal("a.example", [], Allowed()))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "//example.com/",
        "http:/example.com", "http:example.com", "https:///hook", "http://", "", "example.com",
        "http://user@example.com/", "http://user:pw@example.com/", "http://example.com@127.0.0.1/",
        "http://127.0.0.1:80@example.com/", "http://@example.com/", "http://example.com\\@127.0.0.1/",
        "http://example.com/#frag", "http://example.com/#", "http://example.com/ x", "http://example.com/\nHost: x",
        "http://exa\tmple.com/", " http://example.com/", "http://example.com/\x00", "http://example.com:0/",
        "http://example.com:99999/", "http://example.com:80:80/", "http://[::1/", "http://[example.com]/",
        "http://[v1.x]/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/",
        "http://127.1/", "http://127.0.1/", "http://127.0.0.1./", "http://0/", "http://0x/", "http://1.2.3.4.5/",
        "http://256.1.1.1/", "http://08.8.8.8/", "http://\uff11\uff12\uff17.0.0.1/", "http://\u2460\u2461\u2466.0.0.1/",
        "http://b\u00fccher.example/", "http://localhost/", "http://LOCALHOST:8080/", "http://localhost./",
        "http://a.localhost/", "http://example..com/", "http://.example.com/", "http://example.com../",
        "http://-a.example/", "http://a%2eexample.com/", "http://127.0.0.1%2f@example.com/", "http://%31%32%37.0.0.1/",
        f"http://{'a' * 64}.example/", f"http://{'a.' * 127}aa/", "http://example.com/" + "x" * 2000,
    ],
)  # fmt: skip
def test_urls_that_programs_read_differently_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_url(url)
    assert len(url) < 12 or url not in refused.value.message  # a path may be somebody's secret


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://example.com/hook?a=b", ("https", "example.com", 443)),
        ("http://Example.COM.:8080", ("http", "example.com", 8080)),
        ("http://xn--bcher-kva.example/", ("http", "xn--bcher-kva.example", 80)),
        ("http://8.8.8.8/", ("http", "8.8.8.8", 80)),
        ("https://[2606:4700:4700:0::1111]:8443/x", ("https", "2606:4700:4700::1111", 8443)),
        ("http://my_host.example/", ("http", "my_host.example", 80)),
        ("http://1e100.net/", ("http", "1e100.net", 80)),
    ],
)
def test_plain_urls_are_taken_apart(url: str, parts: tuple[str, str, int]) -> None:
    found = read_url(url)
    assert (found.scheme, found.host, found.port) == parts
    assert read_url(found.url) == found


def test_an_operator_allows_hosts_and_blocks() -> None:
    allowed = read_allowed(" Hooks.LAN., 10.1.0.0/16 ,fd00::/8, localhost,, 127.0.0.1")
    for url in ("http://10.1.2.3/", "http://[fd00::1]/", "http://localhost:8009/", "http://127.0.0.1:8009/"):
        read_url(url, allowed)
    for url in ("http://10.2.0.1/", "http://[::1]/", "http://a.localhost/", "http://[::ffff:10.1.2.3]/"):
        with pytest.raises(InvalidInput):
            read_url(url, allowed)
    private = ip_address("192.168.1.1")
    assert first_refusal("hooks.lan", [private], allowed) is None
    assert first_refusal("other.lan", [private], allowed)
    assert first_refusal("other.lan", [ip_address("10.1.9.9")], allowed) is None


@pytest.mark.parametrize("text", ["10.1.2.3/16", "http://a/", "a b", "*.example", "a/b", "10.0.0.0/99"])
def test_a_word_that_allows_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_allowed(text)


@pytest.mark.parametrize("port", [22, 25, 6379, 6667, 11211])
def test_ports_where_other_protocols_are_spoken_are_refused_on_any_host(port: int) -> None:
    for host in ("example.com", "hooks.lan"):
        with pytest.raises(InvalidInput, match=f"port {port}"):
            read_url(f"http://{host}:{port}/", read_allowed("hooks.lan"))
