"""Work: a plain function of a connection, run in one transaction.

It may run again if its transaction failed, so it must keep no state.
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

Result = TypeVar("Result")
Work = Callable[[Connection], Result]
