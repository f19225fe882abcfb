"""Parses a posted form: bytes in, one value per field out. This module knows no request.

https://url.spec.whatwg.org/#application/x-www-form-urlencoded
"""

from urllib.parse import parse_qsl

MEDIA_TYPE = "application/x-www-form-urlencoded"
MOST_FIELDS = 100  # a page has a key for each of twenty drafts
ENCODED_BYTES = 12  # that one character may take: four bytes of UTF-8, each as %XX


def read_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form by name; of several with one name, the last. Bytes that are no UTF-8 are replaced.

    Raises `ValueError` for too many fields, or percent signs with nothing behind them.
    """
    # Decoding goes from one percent sign to the next. Each has two digits behind it in whatever a browser sends.
    if body.count(b"%") * 3 > len(body):
        raise ValueError("a percent sign without its digits")
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    return dict(pairs)


def largest_form(message_length: int) -> int:
    """Return the bytes of the longest form that says a message of `message_length` characters."""
    return message_length * ENCODED_BYTES + 10_000
