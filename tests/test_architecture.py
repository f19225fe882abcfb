"""Which module may know which, and what may be where. Read from the source, not run."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from app.connection import Connection
from app.hub import Hub
from app.rooms import Rooms

APP = Path(__file__).parent.parent / "app"
LONGEST_MODULE = 420  # lines; the crux may be longer

# From the bottom up. A module imports from the layers below its own, and the core from the core.
CORE = {
    "characters",
    "drafts",
    "encoding",
    "forms",
    "frames",
    "identity",
    "kept",
    "limits",
    "links",
    "messages",
    "names",
    "presence",
    "representations",
    "settings",
    "timeline",
    "topics",
}
LAYERS: tuple[set[str], ...] = (
    CORE,
    {"arrivals", "assets", "events", "lookups", "metrics", "outlet", "rules", "tables", "templates", "work"},
    {"follower", "migrations", "postgres", "room_statements", "sqlite", "wire"},
    {"engines", "shared", "statements"},
    {"connection", "fragments", "store"},
    {"bus", "channel", "directory", "newest"},
    {"doorbell", "hub", "lookout", "renamings"},
    {"allowance", "recollection", "register"},
    {"neighbours"},
    {"rooms"},
    {"security"},
    {"pages", "websocket"},
    {"main"},
    {"commands", "findings", "serving"},
    {"database_server", "dumps", "machine", "migrating", "sqlite_file", "workers"},
    {"backup", "copying", "databases", "removing"},
    {"doctor", "restore"},
    {"__main__"},
)
# The commands that work on a database as a whole, and not on what is in the log: the store has no words for that.
OPERATORS = {"__main__", "commands", "copying", "database_server", "databases", "doctor"}
OPERATORS |= {"migrating", "removing", "restore", "sqlite_file"}
STATEMENTS = {"room_statements", "statements"}
# Who alone may use which library; the rest goes through them.
KEEPERS = {
    "jinja2": {"templates"},
    "markupsafe": {"fragments"},
    "sqlalchemy": {"migrations", "postgres", "shared", "sqlite", "store", "tables", "work"} | STATEMENTS | OPERATORS,
    "asyncpg": {"database_server", "doorbell", "postgres"},
    "alembic": {"migrations"},
    "aiosqlite": set(),
    "sqlite3": set(),
    "itsdangerous": {"identity"},
    "prometheus_client": {"metrics"},
    "uvicorn": {"arrivals", "serving", "wire", "workers"},
    "websockets": {"rules", "wire"},
    "fastapi": {"assets", "main", "pages", "websocket"},
    "starlette": {"main", "pages", "security", "websocket"},
}
# What waits, or speaks to the world outside. The core does neither; three of it read a file at the start.
IO = {"asyncio", "socket", "subprocess", "threading", "time", "random", "structlog", "logging"}


def sources(module: str) -> list[Path]:
    """Return the files of a module; a package has several."""
    path = APP / f"{module}.py"
    return [path] if path.exists() else sorted((APP / module).rglob("*.py"))


def modules() -> list[str]:
    """Return the names of all modules of the application."""
    files = {path.stem for path in APP.glob("*.py")} - {"__init__"}
    return sorted(files | {path.parent.name for path in APP.glob("*/__init__.py")})


def trees(module: str) -> Iterator[ast.Module]:
    for path in sources(module):
        yield ast.parse(path.read_text(), str(path))


def imported(tree: ast.AST) -> set[str]:
    """Return the dotted names that a source imports, wherever in it; `from app import x` is `app.x`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(tree: ast.AST) -> set[str]:
    """Return the modules of the application that a source imports."""
    return {name.split(".")[1] for name in imported(tree) if name.startswith("app.")}


def libraries(tree: ast.AST) -> set[str]:
    """Return the packages from elsewhere that a source imports."""
    return {name.split(".")[0] for name in imported(tree)} - {"app"}


def layer(module: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if module in names)


def upward(module: str, tree: ast.AST) -> list[str]:
    """Return what `module` imports although it must not know it."""
    known = set[str]().union(*LAYERS[: layer(module)], CORE if module in CORE else set(), {module})
    return sorted(ours(tree) - known)


def test_every_module_has_its_layer() -> None:
    assert sorted(set[str]().union(*LAYERS)) == modules()
    assert sum(map(len, LAYERS)) == len(modules())


@pytest.mark.parametrize("module", modules())
def test_imports_go_downward(module: str) -> None:
    for tree in trees(module):
        assert upward(module, tree) == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("timeline", "from app.store import Store", ["store"]),
        ("hub", "import app.rooms", ["rooms"]),
        ("pages", "from app import websocket", ["websocket"]),
        ("store", "def later():\n    from app.hub import Hub", ["hub"]),
        ("rooms", "from app.hub import Hub\nfrom app.messages import Room", []),
        ("names", "from app.messages import Refused", []),
    ],
)
def test_an_import_that_goes_upward_is_found(module: str, source: str, found: list[str]) -> None:
    assert upward(module, ast.parse(source)) == found


@pytest.mark.parametrize("module", modules())
def test_libraries_stay_with_their_keepers(module: str) -> None:
    for tree in trees(module):
        for library in libraries(tree) & set(KEEPERS):
            assert module in KEEPERS[library], f"{library} is not for {module}"


@pytest.mark.parametrize("module", sorted(CORE))
def test_the_core_is_plain_functions_and_values(module: str) -> None:
    for tree in trees(module):
        waits = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor)]
        assert waits == []
        assert libraries(tree) & IO == set()


def test_the_core_has_no_circle() -> None:
    knows = {module: set[str]().union(*map(ours, trees(module))) for module in CORE}
    while knows:
        free = {module for module, others in knows.items() if not others & set(knows)}
        assert free, f"these know each other: {sorted(knows)}"
        knows = {module: others for module, others in knows.items() if module not in free}


@pytest.mark.parametrize("function", [Hub.publish, Connection.offer, Connection.cut, Rooms.reached, Rooms.leave])
def test_what_must_not_wait_cannot(function: object) -> None:
    assert inspect.isfunction(function)
    assert not inspect.iscoroutinefunction(function)
    tree = ast.parse(dedent(inspect.getsource(function)))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.Yield)]


@pytest.mark.parametrize("module", modules())
def test_every_module_says_what_lives_there(module: str) -> None:
    for tree in trees(module):
        assert ast.get_docstring(tree)


@pytest.mark.parametrize("module", modules())
def test_everything_public_says_what_it_does(module: str) -> None:
    silent = [name for tree in trees(module) for name in undocumented(tree)]
    assert silent == []


def undocumented(tree: ast.AST, owner: str = "") -> Iterator[str]:
    """Yield the public classes and functions without a docstring; what a migration does is its module's to say."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if node.name == "downgrade" or (node.name == "upgrade" and not node.args.args):  # type: ignore[union-attr]
            continue
        if not ast.get_docstring(node):
            yield owner + node.name
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node, f"{node.name}.")


def test_what_says_nothing_is_found() -> None:
    source = '''
class Silent:
    def loud(self):
        """Says something."""
    async def mute(self): ...
    def _private(self): ...
def silent(): ...
'''
    assert list(undocumented(ast.parse(source))) == ["Silent", "Silent.mute", "silent"]


@pytest.mark.parametrize("module", [module for module in modules() if module != "rooms"])
def test_no_module_is_longer_than_one_reads_at_once(module: str) -> None:
    for path in sources(module):
        assert len(path.read_text().splitlines()) <= LONGEST_MODULE


def test_no_exception_is_kept_for_later() -> None:
    """A raised exception holds the frames that it passed through, and whatever was in them."""
    for module in modules():
        imported = import_module(f"app.{module}")
        assert not [name for name, value in vars(imported).items() if isinstance(value, BaseException)], module


def test_every_mechanism_that_a_test_watches_is_there(request: pytest.FixtureRequest) -> None:
    """`make prove` takes them out, one after the other, and sees the tests fail."""
    marks = {mark.args for item in request.session.items for mark in item.iter_markers("breaks")}
    for path, line, instead in sorted(marks):
        assert (APP.parent / path).read_text().count(line) == 1, f"{path}: {line!r} has to be there once"
        assert line != instead
