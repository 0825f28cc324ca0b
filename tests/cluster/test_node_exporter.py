"""What answers instead of a node exporter is not trusted: bounded in time and size, and believed only when it can be true."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.cluster.host_memory import SCRAPE_SECONDS, LARGEST_MEMORY_BYTES, NodeExporter, available_bytes
from safeconsole.errors import ConfigurationError
from tests.cluster.exporter import drip, exporting, flood, page_of, silence


def test_the_available_memory_is_read_and_nothing_else_is_asked_for():
    with exporting(page_of("1.2884901888e+10")) as exporter:
        assert NodeExporter(exporter.url).fetch() == 12 * 1024**3
    (request,) = exporter.requests
    assert request.startswith(b"GET /metrics?collect[]=meminfo HTTP/1.0\r\n")
    assert b"Host: 127.0.0.1:" in request


def test_a_query_of_ones_own_is_kept():
    with exporting(page_of(5)) as exporter:
        assert NodeExporter(exporter.url + "?job=node").fetch() == 5
    assert exporter.requests[0].startswith(b"GET /metrics?job=node HTTP/1.0")


@pytest.mark.parametrize(
    "answer",
    [
        page_of("NaN"), page_of("+Inf"), page_of("-1"), page_of("1e300"), page_of("much"), page_of(""),
        page_of(1).replace(b"200 OK", b"500 no"), page_of(1).replace(b"200 OK", b"302 Found\r\nLocation: http://127.0.0.1:1/"),
        page_of(1).replace(b"HTTP/1.0", b"ICY"), page_of(1).replace(b"node_memory_MemAvailable_bytes", b"node_other"),
        b"", b"\x00" * 100, b"HTTP/1.0 200 OK", b"HTTP/1.0 200 OK\r\n\r\n",
        page_of(1).replace(b"_bytes 1", b'_bytes{host="a"} 1'),
    ],
)  # fmt: skip
def test_what_cannot_be_true_is_no_reading(answer):
    with exporting(answer) as exporter:
        assert NodeExporter(exporter.url).fetch() is None


@pytest.mark.parametrize("behaviour", [silence, drip, flood])
def test_who_hangs_drips_or_floods_is_given_up(behaviour):
    started = time.monotonic()
    with exporting(behaviour) as exporter:
        assert NodeExporter(exporter.url).fetch() is None
    assert time.monotonic() - started < SCRAPE_SECONDS + 15


def test_nobody_there_is_no_reading():
    with exporting(b"") as exporter:
        url = exporter.url
    assert NodeExporter(url).fetch() is None
    assert NodeExporter("https://127.0.0.1:1/metrics").fetch() is None


@given(st.binary(max_size=300))
def test_no_answer_makes_it_raise(body):
    found = available_bytes(b"HTTP/1.1 200 OK\r\n\r\nnode_memory_MemAvailable_bytes " + body)
    assert found is None or 0 <= found <= LARGEST_MEMORY_BYTES
    available_bytes(body)


@pytest.mark.parametrize(
    "url",
    [
        "", "10.0.0.5:9100", "file:///etc/passwd", "ftp://h/metrics", "http://", "http://user:secret@h/metrics",
        "http://h:0/metrics", "http://h:99999/metrics", "http://h/a b", "http://h/\r\nX: y", "http://h/\x00", "http://ḧ/",
    ],
)  # fmt: skip
def test_what_is_no_address_of_an_exporter_is_a_mistake_in_the_configuration(url):
    with pytest.raises(ConfigurationError, match="not the address of a node exporter"):
        NodeExporter(url)
