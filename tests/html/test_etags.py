"""What an address shows, and whether a browser has it already."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.html.etags import MOST_KEPT, Representation, RepresentationCache, is_among, represent

PAGE = represent('<b nonce="<nonce>">hello</b><i nonce="<nonce>">', "<nonce>", "policy")


def test_a_page_is_ready_but_for_its_nonces() -> None:
    assert PAGE.with_nonce("N") == b'<b nonce="N">hello</b><i nonce="N">'
    assert represent("<b>hello</b>", "<nonce>", "policy").with_nonce("N") == b"<b>hello</b>"


@pytest.mark.breaks("app/html/etags.py", "{headers}", "")
def test_the_etag_depends_on_content_and_caching() -> None:
    assert re.fullmatch('W/"[0-9a-f]{24}"', PAGE.etag)
    others = [("<b>hello</b>", "policy"), ("<b>hello!</b>", "policy"), ("<b>hello</b>", "another policy")]
    etags = {represent(html, "<nonce>", policy).etag for html, policy in others}
    assert len(etags | {PAGE.etag}) == 4


# The table of RFC 9110, 8.8.3.2, by its weak comparison; and lists as in 13.1.2.
@pytest.mark.parametrize(
    ("known", "etag", "has_it"),
    [
        ('W/"1"', 'W/"1"', True),
        ('W/"1"', 'W/"2"', False),
        ('W/"1"', '"1"', True),
        ('"1"', 'W/"1"', True),
        ('"1"', '"1"', True),
        ("*", 'W/"1"', True),
        ('"2", W/"1" ,"3"', 'W/"1"', True),
        ('"2","3"', 'W/"1"', False),
        ("", 'W/"1"', False),
        ("1", 'W/"1"', False),
        ('"*"', 'W/"1"', False),
    ],
)
def test_a_browser_reports_its_version(known: str, etag: str, has_it: bool) -> None:
    assert is_among(etag, known) is has_it


@pytest.mark.breaks("app/html/etags.py", "kept is None or kept[0] != view", "kept is None")
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"))))
def test_a_url_never_serves_its_earlier_content(views: list[tuple[int, str]]) -> None:
    current: RepresentationCache[str] = RepresentationCache(lambda view: represent(view, "<nonce>", ""))
    for address, view in views:
        assert current.of(address, view).with_nonce("") == view.encode()


@pytest.mark.breaks("app/html/etags.py", "LRUCache(MOST_KEPT)", "LRUCache(MOST_KEPT + 9)")
def test_the_least_recently_used_page_is_evicted() -> None:
    made: list[int] = []

    def make(view: int) -> Representation:
        made.append(view)
        return represent(str(view), "<nonce>", "")

    current = RepresentationCache(make)
    for address in (*range(MOST_KEPT), 0, MOST_KEPT, 0):
        current.of(address, address)
    assert made == list(range(MOST_KEPT + 1))
    current.of(1, 1)
    assert made[-1] == 1
