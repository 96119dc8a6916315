from __future__ import annotations

import re
from html.parser import HTMLParser

from noisewise.evaluation.markup import Html, fold, join, picture, table, tag, text
from noisewise.evaluation.plots import INK, confusion_matrix

EVIL = """<img src=x onerror="alert('x')">"""


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_everything_is_escaped_once():
    page = join([tag("p", EVIL, title=EVIL), fold(EVIL, EVIL), table(EVIL, [EVIL], [[EVIL, EVIL]])])
    assert {name for name, _ in Elements(page).found}.isdisjoint({"img"})
    assert tag("p", tag("b", "&")) == "<p><b>&amp;</b></p>"
    assert Elements(tag("p", title=EVIL)).found == [("p", {"title": EVIL})]


def test_control_and_direction_characters_are_shown_as_such():
    assert text("a\x00\u202eb\N{NO-BREAK SPACE}c") == "a\ufffd\ufffdb\N{NO-BREAK SPACE}c"


def test_html_text_that_comes_from_data_is_not_a_cell():
    page = table("t", ["a", "b"], [["x", "<td onclick=1>"]])
    assert "&lt;td onclick" in page
    assert table("t", ["a", "b"], [["x", Html("<td>1</td>")]]).count("<td>") == 1


def test_table_has_headings_both_ways():
    found = Elements(table("t", ["", "b"], [["x", 1], ["y", 2]])).found
    assert [a["scope"] for name, a in found if name == "th"] == ["col", "col", "row", "row"]
    assert found[0][1]["tabindex"] == "0"


def test_picture_is_in_the_colours_of_the_page_and_has_its_own_ids():
    plot = confusion_matrix([[3, 1], [0, 2]], ["a", EVIL])
    page = picture(plot, "p1", EVIL, "shown") + picture(plot, "p2", "b")
    found = Elements(page).found
    ids = [a["id"] for _, a in found if "id" in a]
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)
    assert used
    assert {one or other for one, other in used} <= set(ids)
    assert INK not in page
    assert "var(--ink)" in page
    assert "http" not in page
    assert not any(name == "img" for name, _ in found)
    assert next(a for name, a in found if name == "svg")["aria-label"] == EVIL
