"""How templates become Python: each compiled once, together with what it includes.

Jinja looks an included file up and makes a context for it at each rendering, which takes longer than a line of HTML:
half of a page's time was spent so. Here the file's text takes the place of the tag before anything is compiled. What
is included sees the names that hold where it is included, as ever.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.ext import Extension

TEMPLATES = Path(__file__).parent.parent.parent / "templates"
INCLUDE = re.compile(r'\{%([-+]?) *include "([^"]+)" *([-+]?)%\}')


class Splicing(Extension):
    """Puts what a template includes in its place."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return `source` with each file that it includes by a plain name instead of the tag."""
        return INCLUDE.sub(self._spliced, source)

    def _spliced(self, tag: re.Match[str]) -> str:
        before, name, after = tag.groups()
        text = (TEMPLATES / name).read_text().removesuffix("\n")
        # Empty comments: they take the space around them away, or leave it, as the tag did.
        return f"{{#{before} #}}{self.preprocess(text, name)}{{# {after}#}}"


class Templates:
    """The compiled templates, which know `filters`, `names` and `macros` (by name, the file of each) everywhere."""

    def __init__(
        self, filters: Mapping[str, Callable[..., Any]], names: Mapping[str, Any], macros: Mapping[str, str]
    ) -> None:
        self._environment = Environment(
            extensions=[Splicing],
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= filters
        self._environment.globals |= names
        # To import them where they are called would be done anew at each rendering. Each knows those before it.
        for name, file in macros.items():
            self._environment.globals[name] = self.macro(file, name)
        self._known: dict[str, Template] = {}

    def render(self, name: str, **values: Any) -> str:
        """Return what the template `name` makes of `values`."""
        return (self._known.get(name) or self._compiled(name)).render(values)

    def macro(self, file: str, name: str) -> Any:
        """Return the macro `name` of a file, to be called from Python or, as a name, from every template."""
        return getattr(self._environment.get_template(file).module, name)

    def _compiled(self, name: str) -> Template:
        template = self._known[name] = self._environment.get_template(name)
        # Jinja chains them to the environment's, and copies the chain at each rendering, for as long as that takes.
        template.globals = dict(template.globals)
        return template
