"""One self-contained HTML page: no script, nothing fetched, light or dark."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from noisewise.evaluation.markup import Html, join, tag, text

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


def page(title: str, summary: str, note: str, parts: Mapping[str, Html], version: str) -> str:
    """The page as text.

    Args:
        title: of the page.
        summary: sentences under the title.
        note: how to read the figures.
        parts: heading -> section.
        version: of noisewise.
    """
    style = files("noisewise.evaluation").joinpath("report.css").read_text("utf-8")
    keys = {name: name.lower().replace(" ", "-") for name in parts}
    links = join(tag("li", tag("a", name, href=f"#{keys[name]}")) for name in parts)
    body = join(
        tag("section", tag("h2", name, id=f"{keys[name]}-title"), part, id=keys[name],
            aria_labelledby=f"{keys[name]}-title")
        for name, part in parts.items()
    )  # fmt: skip
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the results</a>
<header>
{tag("h1", title)}
{tag("p", summary, class_="summary")}
{tag("p", note, class_="note")}
{tag("nav", tag("ul", links), aria_label="Sections")}
</header>
<main id="main">
{body}
</main>
<footer>
Made by noisewise {text(version)}.
This page fetches nothing and works offline.
</footer>
</body>
</html>
"""
