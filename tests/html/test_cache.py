"""Texts that are kept while there is room."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.html.cache import Kept


def test_what_is_kept_is_found_and_nothing_else() -> None:
    kept: Kept[str] = Kept(100)
    assert kept.get("a") is None
    assert kept.keep("a", "text") == "text"
    assert (kept.get("a"), kept.get("b"), len(kept)) == ("text", None, 4)


@pytest.mark.breaks("app/html/cache.py", "self._texts.move_to_end(key)", "pass")
def test_what_nobody_asked_for_for_longest_goes_first() -> None:
    kept: Kept[str] = Kept(3)
    for key in "abc":
        kept.keep(key, key)
    kept.get("a")
    kept.keep("d", "d")
    assert [key for key in "abcd" if kept.get(key)] == ["a", "c", "d"]


def test_what_is_larger_than_all_the_room_is_not_kept() -> None:
    kept: Kept[str] = Kept(3)
    assert kept.keep("a", "large") == "large"
    assert (kept.get("a"), len(kept)) == (None, 0)


@pytest.mark.breaks("app/html/cache.py", "while self._characters > self._most:", "if self._characters > self._most:")
@given(st.lists(st.integers(0, 12)))
def test_there_is_never_more_than_there_is_room_for(sizes: Sequence[int]) -> None:
    kept: Kept[str] = Kept(20)
    for key, size in enumerate(sizes):
        kept.keep(key, "x" * size)
        assert len(kept) <= 20
    assert len(kept) == sum(len(kept.get(key) or "") for key in range(len(sizes)))
