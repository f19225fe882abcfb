"""How thorough a run of the tests is: `TEST_PROFILE`.

"quick" is that of `make test`. "soak" (`make soak`) tries more examples, and real times, and takes minutes. "prove"
(`make prove`) is for tests that have to fail: it waits less for what will not come, and looks for no simpler example.
"""

import os

PROFILE = os.environ.get("TEST_PROFILE", "quick")
