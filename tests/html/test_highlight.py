"""The kinds of words in code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.html.highlight import KINDS, LANGUAGES, LONGEST, highlighted

PYTHON = "def f(x):  # hi\n    return 'yes' + str(1)\n"


def test_words_have_their_kinds() -> None:
    assert [word for kind, word in highlighted(PYTHON, "python") if kind == "code-keyword"] == ["def", "return"]
    assert ("code-comment", "# hi") in list(highlighted(PYTHON, "py"))
    assert ("code-string", "'yes'") in list(highlighted(PYTHON, "py"))


@pytest.mark.parametrize("language", ["", "klingon", "java", "<b>"])
def test_another_language_is_shown_as_it_is(language: str) -> None:
    assert list(highlighted(PYTHON, language)) == [("", PYTHON)]


@pytest.mark.breaks("app/html/highlight.py", " or len(code) > LONGEST or UNUSUAL.search(code)", "")
@pytest.mark.parametrize("code", ["x = 1\n" * LONGEST, "x" * 300, "x\n\n \n\ny"])
def test_code_that_could_take_long_is_shown_as_it_is(code: str) -> None:
    assert list(highlighted(code, "python")) == [("", code)]


@given(st.sampled_from(sorted(LANGUAGES)), st.text(st.sampled_from("ab1 \n\t'\"<>/*#{}()$@:=\\-\ufffd"), max_size=80))
def test_nothing_is_lost(language: str, code: str) -> None:
    words = list(highlighted(code, language))
    assert "".join(word for _, word in words) == code
    assert {kind for kind, _ in words} <= {"", *(name for _, name in KINDS)}
