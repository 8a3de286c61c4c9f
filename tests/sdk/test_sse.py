from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas.sse import ServerSentEvent, SSEParser, StreamTooLargeError


def parse(*chunks: bytes, cap: int = 1000) -> list[ServerSentEvent]:
    parser = SSEParser(max_event_bytes=cap)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def outcome(*chunks: bytes, cap: int) -> tuple[list[ServerSentEvent], bool]:
    """Events up to the end or to the cap, and whether the cap was passed."""
    parser = SSEParser(max_event_bytes=cap)
    events: list[ServerSentEvent] = []
    try:
        for chunk in chunks:
            for event in parser.feed(chunk):
                events.append(event)  # noqa: PERF402 - what came before an error counts too
    except StreamTooLargeError:
        return events, True
    return events, False


PIECES = st.sampled_from(
    [
        text.encode()
        for text in ("data", ":", " ", "\n", "\r", "\r\n", "event", "id", "retry", "12", "x", "\0")
    ]
    + [text.encode() for text in ("é", "字", "😀", "\ufeff", "data: a\n\n", ": c\n")]
    + [b"\xff"]
)


@given(st.lists(PIECES, max_size=40), st.lists(st.integers(0, 200), max_size=20), st.integers(1, 40))
def test_any_slicing_gives_the_same_events_and_the_same_cap(
    pieces: list[bytes], cuts: list[int], cap: int
) -> None:
    data = b"".join(pieces)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    sliced = [data[a:b] for a, b in pairwise(edges)]
    by_byte = [data[i : i + 1] for i in range(len(data))]
    assert outcome(*sliced, cap=cap) == outcome(data, cap=cap) == outcome(*by_byte, cap=cap)


@given(st.lists(st.text().filter(lambda text: not set(text) & {"\r", "\n"}), min_size=1, max_size=5))
def test_data_comes_out_as_it_went_in(lines: list[str]) -> None:
    data = "".join(f"data: {line}\n" for line in lines).encode("utf-8", "surrogatepass")
    if b"\xed" in data:  # halves of surrogate pairs are not UTF-8
        return
    assert [event.data for event in parse(data + b"\n")] == ["\n".join(lines)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_line_end_is_understood(end: bytes) -> None:
    assert parse(end.join([b"event: e", b"data: 1", b"data: 2", b"id: 7", b"retry: 30", b"", b""])) == [
        ServerSentEvent("1\n2", "e", "7", 30)
    ]


def test_carriage_return_at_the_end_of_a_chunk_ends_its_line_at_once() -> None:
    parser = SSEParser()
    assert [event.data for event in parser.feed(b"data: 1\r\r")] == ["1"]
    assert [event.data for event in parser.feed(b"\ndata: 2\n\n")] == ["2"]


def test_byte_order_mark_is_dropped_at_the_start_only() -> None:
    first, second = parse(b"\xef", b"\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\ndata: 3\n\n")
    assert (first.data, second.data) == ("1", "3")


def test_comments_and_unknown_fields_are_no_events() -> None:
    assert parse(b": keep-alive\n\nfoo: bar\n\n:\n\n") == []


def test_event_without_data_is_none_and_its_type_is_forgotten() -> None:
    assert parse(b"event: error\n\ndata: 1\n\n") == [ServerSentEvent("1")]


def test_only_one_space_after_the_colon_is_dropped() -> None:
    assert [event.data for event in parse(b"data:  x\n\ndata:y\n\ndata\n\n")] == [" x", "y", ""]


def test_id_stays_for_later_events_and_ids_with_nul_are_ignored() -> None:
    assert [event.id for event in parse(b"id: 1\ndata\n\ndata\n\nid: 2\x003\ndata\n\n")] == ["1", "1", "1"]


def test_retry_that_is_no_number_is_ignored() -> None:
    assert [event.retry_ms for event in parse(b"retry: soon\ndata\n\n")] == [None]


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert [event.data for event in parse(b"data: a\xffb\n\n")] == ["a\ufffdb"]


def test_character_split_over_chunks_stays_whole() -> None:
    data = "data: 😀\n\n".encode()
    assert [event.data for event in parse(data[:8], data[8:9], data[9:])] == ["😀"]


def test_unfinished_event_at_the_end_is_no_event() -> None:
    assert parse(b"data: 1\n") == []


def test_endless_line_passes_the_cap_before_it_ends() -> None:
    parser = SSEParser(max_event_bytes=100)
    assert [event for _ in range(10) for event in parser.feed(b"x" * 10)] == []
    with pytest.raises(StreamTooLargeError, match="100 bytes"):
        list(parser.feed(b"x"))


def test_many_lines_of_one_event_pass_the_cap_together() -> None:
    assert len(parse(b"data: 12345\n\n" * 50, cap=20)) == 50
    with pytest.raises(StreamTooLargeError):
        parse(b"data: 12345\n" * 50, cap=20)


def test_endless_stream_of_small_events_passes_the_cap_of_the_stream() -> None:
    parser = SSEParser(max_stream_bytes=30)
    assert len(list(parser.feed(b"data: one\n\ndata: two\n\n"))) == 2
    with pytest.raises(StreamTooLargeError, match="longer than 30 bytes"):
        list(parser.feed(b"data: three\n\n"))
