"""The few pieces of HTML that a report is made of; everything that comes from data is escaped."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure

from noisewise.evaluation.plots import GRID, INK, MUTED, ON_ACCENT, SURFACE, render

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    SURFACE: "var(--surface)",
    ON_ACCENT: "var(--on-accent)",
}

_SPACES = "\n\N{NO-BREAK SPACE}"


class Html(str):
    """Text that is HTML already; every other string is escaped when it is put on a page."""

    __slots__ = ()


def text(value: object) -> Html:
    """A value from the data as HTML: escaped, without control or direction characters.

    >>> text("<b> & \\x00")
    '&lt;b&gt; &amp; \N{REPLACEMENT CHARACTER}'
    """
    if isinstance(value, Html):
        return value
    plain = (
        c if c.isprintable() or c in _SPACES else "\N{REPLACEMENT CHARACTER}" for c in str(value)
    )
    shown = "".join(plain)
    return Html(html.escape(shown))


def join(parts: Iterable[object]) -> Html:
    """Pieces one after the other, each escaped unless it is `Html`."""
    return Html("\n".join(text(part) for part in parts))


def tag(name: str, *content: object, **attributes: object) -> Html:
    """An element; an attribute ``class_`` is ``class``, ``aria_label`` is ``aria-label``.

    >>> tag("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{given}>{''.join(text(part) for part in content)}</{name}>")


def data_uri(kind: str, content: bytes) -> str:
    """Bytes inside the page itself.

    >>> data_uri("text/plain", b"hi")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def table(
    caption: object, head: Sequence[object], rows: Sequence[Sequence[object]], numbers: bool = True
) -> Html:
    """A table whose first column names its rows; it scrolls by itself where it is too wide.

    Args:
        caption: what the table shows.
        head: column headings, the first one above the row names.
        rows: cells; one that is `Html` and begins with ``<td`` is taken as it is.
        numbers: whether the cells are numbers, which are set right.
    """
    lines = []
    for name, *cells in rows:
        line = [
            cell if isinstance(cell, Html) and cell.startswith("<td") else tag("td", cell)
            for cell in cells
        ]
        lines.append(tag("tr", tag("th", name, scope="row"), *line))
    top = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head)))
    whole = tag("table", tag("caption", caption), top, tag("tbody", join(lines)))
    kind = "scroll numbers" if numbers else "scroll"
    # reachable by keyboard, so that it can be scrolled without a mouse
    return tag("div", whole, class_=kind, tabindex=0, role="region", aria_label=caption)


def fold(summary: object, *content: object) -> Html:
    """Content behind a line that opens it."""
    return tag("details", tag("summary", summary), *content)


def picture(figure: Figure, key: str, alt: str, caption: object = "", least: int = 0) -> Html:
    """A plot inside the page, in the page's own colours and letters.

    Args:
        figure: what to show.
        key: letters that no other picture of the page has.
        alt: what a reader who cannot see it is told.
        caption: below the picture.
        least: smallest width in pixels; a narrower screen scrolls.
    """
    svg = render(figure, "svg").decode()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.S)
    # ids are unique in a file, but there are several files on the page
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{key}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(f": {colour}", f": {variable}")
    width, height = (float(number) for number in figure.get_size_inches() * 96)
    box = re.search(r'viewBox="([^"]+)"', svg)
    opening = tag(
        "svg",
        viewBox=box.group(1) if box else "",
        role="img",
        aria_label=alt,
        style=f"width:{width:.0f}px;min-width:min({least}px,{width:.0f}px);"
        f"aspect-ratio:{width:.0f}/{height:.0f}",
    ).removesuffix("</svg>")
    svg = opening + svg[svg.index(">") + 1 :]
    frame = tag("div", Html(svg), class_="scroll", tabindex=0, role="region", aria_label=alt)
    hint = tag("span", "Scroll sideways. ", class_="hint") if least > 360 else ""
    return tag("figure", frame, tag("figcaption", hint, caption))
