"""Which module may know which, and what may be where. Read from the source, not run."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from app.delivery.connection import Connection
from app.delivery.hub import Hub
from app.rooms.delivering import Delivery
from app.rooms.resuming import Resumption

APP = Path(__file__).parent.parent / "app"
LONGEST_MODULE, LONGEST_FUNCTION = 300, 40  # lines

# From the bottom up: a folder, or a module beside the folders, imports from those below and from itself. Those in one
# layer do not know each other.
LAYERS: tuple[set[str], ...] = (
    {"environment"},
    {"settings", "metrics"},
    {"chat"},
    {"html", "delivery", "store", "log"},
    {"cluster"},
    {"rooms"},
    {"web"},
    {"main"},
    {"operations"},
    {"__main__"},
)
# Which modules or folders alone may use a library; the rest goes through them.
KEEPERS = {
    "jinja2": {"html.templates"},
    "markupsafe": {"html.bodies", "html.filters", "html.fragments"},
    "emoji": {"chat.emojis"},
    "markdown_it": {"chat.markup"},
    "pygments": {"html.highlight"},
    "sqlalchemy": {"store", "operations", "__main__"},
    "asyncpg": {"operations.doctor.postgres", "cluster.notify", "store.postgres"},
    "alembic": {"store.migrations"},
    "aiosqlite": set(),
    "sqlite3": set(),
    "itsdangerous": {"web.identity"},
    "prometheus_client": {"metrics"},
    "uvicorn": {"delivery.http_protocol", "delivery.websocket_protocol", "operations"},
    "websockets": {"delivery"},
    "fastapi": {"html.assets", "main", "web"},
    "starlette": {"main", "web"},
}
# Plain functions and values: all of `chat`, and these.
PLAIN = {
    "environment",
    "settings",
    "html.etags",
    "html.bodies",
    "html.filters",
    "html.highlight",
    "delivery.encoding",
    "store.topics",
    "web.forms",
    "web.identity",
}
# What waits, or speaks to the world outside. Nothing that is plain does; three modules of it read a file at the start.
IO = {"asyncio", "socket", "subprocess", "threading", "time", "random", "structlog", "logging"}


def sources(module: str) -> list[Path]:
    """Return the files of a module; a package has several."""
    path = APP / f"{module.replace('.', '/')}.py"
    return [path] if path.exists() else sorted((APP / module.replace(".", "/")).rglob("*.py"))


def modules() -> list[str]:
    """Return the names of all modules, `folder.module`; the migrations are one."""
    paths = {path.relative_to(APP).with_suffix("") for path in APP.rglob("*.py") if path.stem != "__init__"}
    names = {".".join(path.parts) for path in paths}
    return sorted({"store.migrations" if name.startswith("store.migrations.") else name for name in names})


def folders() -> list[str]:
    """Return what stands in `app/`: the folders, and the modules beside them."""
    return sorted({module.split(".")[0] for module in modules()})


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
    known = set(modules())
    names = [name.removeprefix("app.") for name in imported(tree) if name.startswith("app.")]
    return {next((each for each in known if f"{name}.".startswith(f"{each}.")), name) for name in names}


def libraries(tree: ast.AST) -> set[str]:
    """Return the packages from elsewhere that a source imports."""
    return {name.split(".")[0] for name in imported(tree)} - {"app"}


def layer(folder: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if folder in names)


def upward(folder: str, tree: ast.AST) -> list[str]:
    """Return what a source in `folder` imports although it must not know it."""
    known = set[str]().union(*LAYERS[: layer(folder)], {folder})
    return sorted(name for name in ours(tree) if name.split(".")[0] not in known)


def test_every_folder_has_its_layer() -> None:
    assert sorted(set[str]().union(*LAYERS)) == folders()
    assert sum(map(len, LAYERS)) == len(folders())


@pytest.mark.parametrize("module", modules())
def test_imports_go_downward(module: str) -> None:
    for tree in trees(module):
        assert upward(module.split(".")[0], tree) == []


@pytest.mark.parametrize(
    ("folder", "source", "found"),
    [
        ("chat", "from app.store.store import Store", ["store.store"]),
        ("delivery", "import app.rooms.rooms", ["rooms.rooms"]),
        ("web", "from app import main", ["main"]),
        ("html", "from app.store import topics", ["store.topics"]),
        ("store", "def later():\n    from app.delivery.hub import Hub", ["delivery.hub"]),
        ("rooms", "from app.delivery.hub import Hub\nfrom app.chat.messages import Room", []),
        ("chat", "from app.chat.messages import Refused", []),
    ],
)
def test_an_import_that_goes_upward_is_found(folder: str, source: str, found: list[str]) -> None:
    assert upward(folder, ast.parse(source)) == found


@pytest.mark.parametrize("module", modules())
def test_libraries_stay_with_their_keepers(module: str) -> None:
    for tree in trees(module):
        for library in libraries(tree) & set(KEEPERS):
            assert KEEPERS[library] & {module, module.split(".")[0]}, f"{library} is not for {module}"


@pytest.mark.parametrize("module", sorted(PLAIN | {name for name in modules() if name.startswith("chat.")}))
def test_plain_lines_need_no_lookahead(module: str) -> None:
    for tree in trees(module):
        waits = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor)]
        assert waits == []
        assert libraries(tree) & IO == set()


def test_no_modules_know_each_other() -> None:
    knows = {module: set[str]().union(*map(ours, trees(module))) - {module} for module in modules()}
    while knows:
        free = {module for module, others in knows.items() if not others & set(knows)}
        assert free, f"these know each other: {sorted(knows)}"
        knows = {module: others for module, others in knows.items() if module not in free}


@pytest.mark.parametrize("folder", sorted(path.name for path in APP.iterdir() if (path / "__init__.py").exists()))
def test_every_folder_has_a_docstring(folder: str) -> None:
    assert ast.get_docstring(ast.parse((APP / folder / "__init__.py").read_text()))


@pytest.mark.parametrize(
    "function", [Hub.publish, Connection.offer, Connection.cut, Delivery.reached, Resumption.leave]
)
def test_functions_of_the_hot_path_are_not_async(function: object) -> None:
    assert inspect.isfunction(function)
    assert not inspect.iscoroutinefunction(function)
    tree = ast.parse(dedent(inspect.getsource(function)))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.Yield)]


@pytest.mark.parametrize("module", modules())
def test_every_module_has_a_docstring(module: str) -> None:
    for tree in trees(module):
        assert ast.get_docstring(tree)


@pytest.mark.parametrize("module", modules())
def test_every_public_name_has_a_docstring(module: str) -> None:
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


def test_empty_docstrings_are_found() -> None:
    source = '''
class Silent:
    def loud(self):
        """Says something."""
    async def mute(self): ...
    def _private(self): ...
def silent(): ...
'''
    assert list(undocumented(ast.parse(source))) == ["Silent", "Silent.mute", "silent"]


@pytest.mark.parametrize("module", modules())
def test_modules_and_functions_are_short(module: str) -> None:
    for path in sources(module):
        assert len(path.read_text().splitlines()) <= LONGEST_MODULE
    for tree in trees(module):
        assert [name for name, lines in functions(tree) if lines > LONGEST_FUNCTION] == []


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the functions in a source, with how many lines each has."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_a_function_is_measured_to_its_end() -> None:
    assert list(functions(ast.parse("async def long(\n    x,\n):\n    return [\n    ]\n"))) == [("long", 5)]


def repeated(sources: dict[str, str], length: int) -> list[list[str]]:
    """Return the runs of so many lines (without blank ones and imports) that stand in several places."""
    places: dict[tuple[str, ...], list[str]] = {}
    for name, source in sources.items():
        lines = [line.strip() for line in source.splitlines()]
        lines = [line for line in lines if line and not line.startswith(("import ", "from "))]
        for start in range(len(lines) - length + 1):
            places.setdefault(tuple(lines[start : start + length]), []).append(name)
    return [list(run) for run, names in places.items() if len(names) > 1]


def test_nothing_is_written_twice() -> None:
    everything = {module: "".join(path.read_text() for path in sources(module)) for module in modules()}
    del everything["store.migrations"]  # a step is never changed, so it repeats what it needs
    assert repeated(everything, length=6) == []
    assert repeated({"one": "a\nb\n\nc", "other": "x\na\nb\nc\n"}, length=3) == [["a", "b", "c"]]


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
