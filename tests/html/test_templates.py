"""Templates in one piece are what they were in several."""

from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment, nodes

from app.html import templates
from app.html.templates import TEMPLATES, Splicing

FILES = {
    "page": '<ul>\n{% for each in (1, 2) %}\n  {% include "item" %}\n{% endfor %}\n</ul>{%- include "end" -%} .',
    "item": '{# Takes: each. #}\n<li>{{ each }}</li>{% include "end" %}\n',
    "end": "{#- Takes: by, if it is there. -#}\n<i>{% if by is defined %}{{ by }}{% endif %}</i>\n",
    "named": '{% with by = "<Ann>" %}{% include "end" %}{% endwith %}{% include "end" %}',
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(templates, "TEMPLATES", tmp_path)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", ["page", "named"])
def test_spliced_includes_render_as_jinja_includes(name: str) -> None:
    style = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, "loader": DictLoader(FILES)}
    included, spliced = Environment(**style), Environment(**style, extensions=[Splicing])  # type: ignore[arg-type] # noqa: S701
    assert spliced.get_template(name).render() == included.get_template(name).render()


@pytest.mark.breaks("app/html/templates.py", "extensions=[Splicing]", "extensions=[]")
def test_nothing_is_left_to_be_included_at_each_rendering() -> None:
    environment = templates.Templates({}, {}, {})._environment
    for path in TEMPLATES.rglob("*.html"):
        source = environment.preprocess(path.read_text())
        assert not list(environment.parse(source).find_all((nodes.Include, nodes.Import, nodes.FromImport))), path
