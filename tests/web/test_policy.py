"""What the page's policy would refuse must not be in a template or a static file in the first place.

The policy (`security.POLICY`) lets no script run but htmx's three files, which carry the nonce; no inline handler,
no expression, no style but with the nonce; nothing from elsewhere. On the wire, fragments are inert.
"""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from bs4.element import Tag
from jinja2 import Environment, nodes

from app.chat.mentions import Unclear
from app.chat.messages import Cursor, Mention, Quote, Reaction, Reactor
from app.chat.timeline import Gap, Page, arrange
from app.html.fragments import Fragments
from app.html.views import Place
from app.settings import Settings
from tests.cast import ANN, BOB, LOBBY, START, WATERCOOLER, message
from tests.hostile import BODIES, NAMES

ROOT = Path(__file__).parent.parent.parent
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
SCRIPTS = {f"{{{{ assets }}}}/vendor/{name}.min.js" for name in ("htmx", "hx-csp", "hx-ws")}

LOADING = {"link": "href", "script": "src", "img": "src", "source": "src", "use": "href", "image": "href"}
FOREIGN = re.compile(r"\s*(https?:)?//", re.I)
EXPRESSION = re.compile(r"\s*(js|javascript):", re.I)
TRIGGER_FILTER = re.compile(r"\[[^\]]*\]")
ELSEWHERE = re.compile(r"""@import|url\(\s*["']?\s*(?!data:)(?:[a-z][a-z0-9+.-]*:|//)""", re.I)

JINJA = Environment(autoescape=True)


def templates() -> list[Path]:
    return sorted(TEMPLATES.rglob("*.html"))


def static(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (STATIC / folder).rglob("*") if path.is_file())


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def markup(template: str) -> BeautifulSoup:
    """Return a template's own HTML: all branches, no comments, expressions left as they stand (without quotes)."""
    html: list[str] = []
    for _, kind, value in JINJA.lex(template):
        if kind == "data":
            html.append(value)
        elif kind == "block_end":
            while html.pop() != "block_begin":
                pass
        elif kind == "block_begin":
            html.append(kind)
        elif kind.startswith("variable_"):
            html.append("{{" if kind == "variable_begin" else "}}")
        elif kind in ("name", "dot", "operator", "whitespace"):
            html.append(re.sub("[<>]", "", value))
    return BeautifulSoup("".join(html), "html.parser")


def elements(html: str | BeautifulSoup) -> Iterable[Tag]:
    soup = BeautifulSoup(html, "html.parser") if isinstance(html, str) else html
    return soup.find_all(True)


def offences(template: str) -> list[str]:
    """Return what in a template the policy would refuse, or is there to get around it."""
    found = [f"{{{{ | {each.name} }}}}" for each in JINJA.parse(template).find_all(nodes.Filter) if each.name == "safe"]
    found += ["autoescape"] * len(list(JINJA.parse(template).find_all(nodes.ScopedEvalContextModifier)))
    for element in elements(markup(template)):
        found += [f"<{element.name}>: {reason}" for reason in _offences(element)]
    return found


def _offences(element: Tag) -> Iterable[str]:
    if element.name == "script" and element.get("src") not in SCRIPTS:
        yield "a script of another's, or inline"
    if element.name in ("script", "style") and not element.get("nonce"):
        yield "no nonce"
    if element.name in ("iframe", "object", "embed", "base", "template"):
        yield "not used here"
    if element.name == "meta" and element.get("http-equiv"):
        yield "headers are sent as headers"
    for name, value in element.attrs.items():
        text = " ".join(value) if isinstance(value, list) else str(value)
        if name.startswith("on"):
            yield f"inline handler {name}"
        if name == "style":
            yield "inline style"
        if re.match(r"(data-)?hx-on", name):
            yield f"inline handler {name}"
        if EXPRESSION.match(text) or (name in ("hx-vals", "hx-headers", "hx-config") and re.search(r"\bjs:", text)):
            yield f"expression in {name}"
        if (
            name in ("href", "src", "srcset", "action", "xlink:href")
            and LOADING.get(element.name)
            and FOREIGN.match(text)
        ):
            yield f"{name} from elsewhere"
        if name.startswith("hx-") and FOREIGN.match(text):
            yield f"{name} to elsewhere"


def filters(template: str) -> list[str]:
    """Return the expressions in triggers: the only ones that htmx would evaluate."""
    triggers = [str(element.get("hx-trigger", "")) for element in elements(markup(template))]
    return [found for trigger in triggers for found in TRIGGER_FILTER.findall(trigger)]


def instructions(html: str | BeautifulSoup) -> set[str]:
    """Return the attributes by which a fragment would tell htmx more than where it belongs."""
    return {
        name
        for element in elements(html)
        for name in element.attrs
        if re.match(r"(data-)?hx-", name) and name != "hx-swap-oob"
    }


# The project


@pytest.mark.parametrize("path", templates(), ids=name_of)
def test_a_template_has_nothing_that_the_policy_refuses(path: Path) -> None:
    assert offences(path.read_text()) == []


def test_the_page_loads_htmx_and_its_two_extensions_and_no_other_script() -> None:
    found = {
        str(element.get("src"))
        for path in templates()
        for element in elements(markup(path.read_text()))
        if element.name == "script"
    }
    assert found == set(SCRIPTS)


ENTER = "[key=='Enter'&&!shiftKey&&!isComposing&&keyCode!=229&&(ctrlKey||target.parentNode.clientLeft==0)]"


ESCAPE, ARROW_UP = "[key=='Escape']", "[key=='ArrowUp'&&target.value=='']"
AT = "[target.value.includes('@')]"


def test_triggers_have_filters_for_keys_and_an_at_and_no_others() -> None:
    found = {name_of(path): filters(path.read_text()) for path in templates() if filters(path.read_text())}
    assert found == {
        "templates/partials/composer.html": [ENTER],
        "templates/partials/edit.html": [ENTER, ESCAPE],
        "templates/partials/wiring.html": [ESCAPE, ARROW_UP, AT],
    }


@pytest.mark.parametrize("path", [path for path in templates() if path.parent.name == "frames"], ids=name_of)
def test_frame_templates_have_no_instructions_but_their_target(path: Path) -> None:
    assert instructions(markup(path.read_text())) == set()


@pytest.mark.parametrize("path", static("css"), ids=name_of)
def test_a_style_sheet_loads_nothing_from_elsewhere(path: Path) -> None:
    assert ELSEWHERE.findall(path.read_text()) == []


@pytest.mark.parametrize("path", static("icons"), ids=name_of)
def test_an_icon_is_only_a_picture(path: Path) -> None:
    assert path.suffix in (".svg", ".png", ".ico")
    if path.suffix == ".svg":
        assert offences(path.read_text()) == []


def test_static_files_are_style_sheets_icons_and_vendored_scripts() -> None:
    assert {path.name for path in STATIC.iterdir()} <= {"css", "icons", "vendor"}
    assert {path.suffix for path in static("css")} == {".css"}


def test_no_script_of_ours_is_served() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout, so there is no list of what belongs to the project")
    scripts = [name for name in listed.stdout.splitlines() if re.search(r"\.[cm]?[jt]sx?$", name)]
    assert [name for name in scripts if not name.startswith(("bench/", "tests/"))] == []


def frames() -> dict[str, str]:
    """Return every frame that can go down the wire, with everything in it that it can have."""
    fragments = Fragments(Settings(), "/static/none")
    log = [message(number, body, (ANN, BOB)[number % 2], number) for number, body in enumerate(BODIES[::20], start=2)]
    entries = arrange(log, None, START.tzinfo, Settings().group_window)  # type: ignore[arg-type]
    cursor, page = Cursor("0a1b2c3d", len(log) + 1), Page(entries, len(log) + 1, older=2)
    reaction = Reaction(BODIES[0], tuple(Reactor(name, name, 1) for name in NAMES[:30]))
    changed = [replace(each, edited_at=START, reactions=(reaction,)) for each in log]
    changed.append(replace(log[0], body="@a", mentions=(Mention(ANN.id, BODIES[0], "a"),)))
    return {
        "changed": fragments.changed(LOBBY, changed, "UTC"),
        "reply": fragments.reply(Quote(7, BODIES[0], BODIES[1]), LOBBY),
        "changes": fragments.changes(LOBBY, entries, cursor, "UTC", changed),
        "changes after a gap": fragments.changes(LOBBY, entries, cursor, "UTC", gap=Gap(0, 2, 1)),
        "missed": fragments.missed(137),
        "trimmed": fragments.trimmed(LOBBY, 7),
        "replaced": fragments.replaced(LOBBY, page, cursor, "UTC"),
        "replaced by all": fragments.replaced(LOBBY, Page(entries, len(log) + 1, None), cursor, "UTC"),
        "members": fragments.members([ANN, BOB]),
        "room_added": fragments.room_added(WATERCOOLER),
        "rooms": fragments.rooms([LOBBY, WATERCOOLER], LOBBY),
        "heartbeat": fragments.heartbeat(),
        "resumed": fragments.resumed([LOBBY, WATERCOOLER], LOBBY, [ANN, BOB]),
        "receipt": fragments.receipt([Place(1, "k1"), Place(2, "k2")], [Place(3, "k3")], BODIES[0], ["k4", "k5"]),
        "notice": fragments.notice(BODIES[0]),
        "rechecked": fragments.rechecked(cursor),
        "let_go": fragments.let_go(from_editor=True, from_question=True),
        "typing": fragments.typing([(ANN, 0), (BOB, 3)]),
        "meant": fragments.meant([Mention(ANN.id, BODIES[0], "a"), Unclear(BODIES[1], tuple(NAMES[:9]))]),
        "editor": fragments.editor(log[0], "UTC"),
    }


def test_every_frame_is_looked_at() -> None:
    written = {path.stem for path in templates() if path.parent.name == "frames"}
    assert written == {name.split()[0] for name in frames()}


@pytest.mark.parametrize("name", frames())
def test_a_frame_as_it_is_sent_is_inert(name: str) -> None:
    html = frames()[name]
    assert instructions(html) == set()
    assert [offence for element in elements(html) for offence in _offences(element)] == []
    # All of it is out of band: there is no main swap to go wrong.
    top = [element for element in BeautifulSoup(html, "html.parser").children if isinstance(element, Tag)]
    assert top
    assert all(element.get("hx-swap-oob") for element in top)


# Each of these checks can fail


@pytest.mark.parametrize(
    "bad",
    [
        "<script>alert(1)</script>",
        '<script nonce="{{ nonce }}">alert(1)</script>',
        '<script nonce="{{ nonce }}" src="{{ assets }}/js/app.js"></script>',
        '<script nonce="{{ nonce }}" src="https://cdn.example/htmx.min.js"></script>',
        '<script src="{{ assets }}/vendor/htmx.min.js"></script>',
        '<button onclick="go()">Go</button>',
        '<button{% if x %} onclick="go()"{% endif %}>Go</button>',
        '<svg><animate onbegin="go()"/></svg>',
        '<p style="color: red">Red</p>',
        '<p style="color: {{ colour }}">Red</p>',
        "<style>p { color: red }</style>",
        '<p hx-on:click="go()">Go</p>',
        '<p hx-on::after:request="go()">Go</p>',
        '<p data-hx-on:click="go()">Go</p>',
        '<a href="javascript:go()">Go</a>',
        '<a href=" JavaScript:go()">Go</a>',
        "<p hx-vals='js:{a: b()}'>Go</p>",
        "<p hx-headers='javascript:{a: b()}'>Go</p>",
        '<link rel="stylesheet" href="https://cdn.example/a.css">',
        '<link rel="stylesheet" href="//cdn.example/a.css">',
        '<img src="http://elsewhere.example/pixel.gif">',
        '<p hx-get="https://elsewhere.example/">Go</p>',
        "<iframe></iframe>",
        '<base href="/elsewhere/">',
        '<meta http-equiv="refresh" content="0">',
        "{{ message.body | safe }}",
        "{{ message.body | upper | safe }}",
        "{% autoescape false %}{{ message.body }}{% endautoescape %}",
        "{% if x %}{% else %}<p onclick=go()>Go</p>{% endif %}",
        '{% macro m() %}<p onclick="go()">Go</p>{% endmacro %}',
    ],
)
def test_refused_content_is_found(bad: str) -> None:
    assert offences(bad)


@pytest.mark.parametrize(
    "good",
    [
        "<p>on style: javascript: is fun</p>",
        '{# <script>alert(1)</script> #}<p class="one" hidden>text</p>',
        '<script nonce="{{ nonce }}" src="{{ assets }}/vendor/htmx.min.js" defer></script>',
        '<style nonce="{{ nonce }}">p { color: red }</style>',
        '<a href="https://elsewhere.example/">elsewhere</a>',
        '<a href="{{ part.href }}">{{ part.text }}</a>',
        """<input value="{{ x | default("") }}" data-one='{{ "<script>" }}'>""",
        "{% if a > b %}<p>more</p>{% endif %}",
    ],
)
def test_allowed_elements_are_no_offence(good: str) -> None:
    assert offences(good) == []


@pytest.mark.parametrize(
    "bad",
    [
        '@import "other.css";',
        "a { background: url(https://elsewhere.example/a.png) }",
        "a { background: url('//elsewhere.example/a.png') }",
        'a { background: url( "HTTP://elsewhere.example/a.png" ) }',
    ],
)
def test_a_style_sheet_that_loads_from_elsewhere_is_found(bad: str) -> None:
    assert ELSEWHERE.findall(bad)


@pytest.mark.parametrize(
    "good", ["a { mask: url(data:image/svg+xml,x) }", "a { b: url(../icons/a.svg) }", "a { b: url('c.png') }"]
)
def test_a_style_sheet_that_loads_from_here_is_not(good: str) -> None:
    assert ELSEWHERE.findall(good) == []


def test_filters_and_instructions_are_found() -> None:
    assert filters("""<p hx-trigger="click[ctrlKey], keyup[key=='a'] from:body">""") == ["[ctrlKey]", "[key=='a']"]
    assert filters('<p hx-trigger="click">[x]</p>') == []
    assert instructions('<p hx-swap-oob="true" hx-get="/x"><b data-hx-trigger="load">') == {"hx-get", "data-hx-trigger"}
    assert instructions('<p hx-swap-oob="true" class="hx-get">hx-get</p>') == set()
