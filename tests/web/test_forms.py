"""A posted form: bytes in, a value for each field out."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.forms import MOST_FIELDS, largest_form, read_form

texts = st.text(st.characters(codec="utf-8"))


@given(st.dictionaries(texts, texts, max_size=MOST_FIELDS))
def test_posted_forms_are_read(fields: dict[str, str]) -> None:
    sendable = {
        name.encode("utf-8", "replace").decode(): text.encode("utf-8", "replace").decode()
        for name, text in fields.items()
    }
    assert read_form(urlencode(sendable).encode()) == sendable


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_an_error(body: bytes) -> None:
    try:
        fields = read_form(body)
    except ValueError:
        return
    assert all(isinstance(text, str) for text in (*fields, *fields.values()))


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"name=Ann", {"name": "Ann"}),
        (b"name=", {"name": ""}),
        (b"name=Ann&name=Bob", {"name": "Bob"}),
        (b"name=Ann+B%c3%a9&room=", {"name": "Ann B\u00e9", "room": ""}),
        ("name=Zo\u00eb".encode(), {"name": "Zo\u00eb"}),  # as curl sends it
        (b"name=\xff%ff", {"name": "\ufffd\ufffd"}),
        (b"name", {"name": ""}),
        (b"a=b=c;d", {"a": "b=c;d"}),
    ],
)
def test_forms_are_read_as_the_standard_says(body: bytes, fields: dict[str, str]) -> None:
    assert read_form(body) == fields


@pytest.mark.breaks("app/web/forms.py", "max_num_fields=MOST_FIELDS", "max_num_fields=None")
def test_too_many_fields_are_an_error() -> None:
    assert len(read_form("&".join(f"f{number}=" for number in range(MOST_FIELDS)).encode())) == MOST_FIELDS
    with pytest.raises(ValueError, match="fields"):
        read_form(b"a=&" * MOST_FIELDS + b"a=")


@pytest.mark.breaks("app/web/forms.py", 'if body.count(b"%") * 3 > len(body):', "if False:")
def test_percent_signs_without_digits_are_an_error() -> None:
    """Each is a step of its own for the decoder, and so a third of the bytes does as much."""
    with pytest.raises(ValueError, match="percent"):
        read_form(b"%" * 1_000)
    assert read_form(b"name=" + b"%41" * 1_000) == {"name": "A" * 1_000}


def test_the_longest_message_fits_with_any_characters() -> None:
    assert len(f"message={quote(chr(0x1F600) * 4_000)}&key={'k' * 128}") < largest_form(4_000)
