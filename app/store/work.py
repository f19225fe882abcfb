"""What an engine does, whichever it is: a plain function of a connection.

It belongs into one transaction, and into another where the first had to be given up: so it keeps nothing for itself.
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

Result = TypeVar("Result")
Work = Callable[[Connection], Result]
