"""What the papers promise: every setting and every module is in them, and every link leads somewhere."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import Settings

ROOT = Path(__file__).parent.parent
CONFIGURATION = ROOT / "docs" / "configuration.md"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"

EMPTY = "*empty*"  # how a default is written that is none
LINK = re.compile(r"""\]\(<?([^)\s>]+)|(?:href|src|srcset)="([^"\s]+)""")


def papers() -> list[Path]:
    """Return all texts for people."""
    return [ROOT / "README.md", ARCHITECTURE, *sorted((ROOT / "docs").rglob("*.md"))]


def rows() -> list[list[str]]:
    """Return the rows of all tables in the configuration, as their cells."""
    lines = CONFIGURATION.read_text().splitlines()
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines if line.startswith("|")]


def written(default: object) -> str:
    """Return how a default stands in its cell."""
    if default is None or default == "" or default == ():
        return EMPTY
    assert not isinstance(default, SecretStr)
    return f"`{','.join(default) if isinstance(default, tuple) else default}`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    variable = f"`PARLOR_{name.upper()}`"
    of_this = [row for row in rows() if row[0] == variable]
    assert len(of_this) == 1, f"docs/configuration.md needs one row that begins with {variable}"
    default = written(Settings.model_fields[name].get_default())
    assert default in of_this[0][1:], f"the row of {variable} needs a cell that reads {default}"


def test_no_setting_is_documented_that_does_not_exist() -> None:
    named = {
        name for path in papers() if path.exists() for name in re.findall(r"PARLOR_[A-Z_]*[A-Z]", path.read_text())
    }
    assert named - {f"PARLOR_{name.upper()}" for name in Settings.model_fields} == set()


def test_the_architecture_is_short_and_names_every_module() -> None:
    text = ARCHITECTURE.read_text()
    assert len(text.splitlines()) < 155
    modules = [path.name for path in sorted((ROOT / "app").glob("*.py")) if path.stem != "__init__"]
    packages = [f"{path.parent.name}/" for path in sorted((ROOT / "app").glob("*/__init__.py"))]
    assert [name for name in modules + packages if name not in text] == []


def test_the_architecture_names_no_module_that_is_gone() -> None:
    named = set(re.findall(r"\b(?:app/)?(\w+\.py)\b", ARCHITECTURE.read_text()))
    there = {path.name for folder in ("app", "tests", "scripts", "bench") for path in (ROOT / folder).rglob("*.py")}
    assert named - there == set()


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "docs/guide.md"])
def test_the_papers_are_there(name: str) -> None:
    assert (ROOT / name).read_text().strip()


@pytest.mark.parametrize("path", papers(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    assert dead(path.read_text(), path.parent) == []


def dead(text: str, folder: Path) -> list[str]:
    """Return the relative links in `text` that lead to no file."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    links = [one or other for one, other in LINK.findall(prose)]
    local = [link.split("#")[0] for link in links if not re.match(r"[a-z+]+:|//|#", link)]
    return [link for link in local if not (folder / link).exists()]


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").touch()
    text = """
[a](there.md#x) [b](gone.md) ![c](<no.png>) [d](https://x.example/y) [e](#here) <img src="lost.png">
```
[f](code.md)
```
"""
    assert dead(text, tmp_path) == ["gone.md", "no.png", "lost.png"]


def named_tests(text: str) -> list[tuple[str, str]]:
    """Return file and name of each test that a document points to, as `file.py::name`."""
    return re.findall(r"`([\w/]+\.py)::(\w+)`", text)


def test_each_test_that_the_guide_names_is_there() -> None:
    named = named_tests((ROOT / "docs" / "guide.md").read_text())
    assert len(named) > 30
    for file, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), (file, name)
