"""A page of HTML that stands alone: no script, no font, no picture from elsewhere.

The markup is well-formed XML too. Text is escaped unless it is `Raw`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final, TypeAlias

from sim.errors import SimError


class Raw(str):
    """Markup, as opposed to text."""

    __slots__ = ()


Cell: TypeAlias = "str | int | float | Raw | None"
ROWS_MAX: Final = 40
"""Of a table on a page; longer ones are cut or summed."""

STYLE: Final = """
:root {
  --ink: #1c2434; --soft: #5b667a; --faint: #8d97a8; --line: #e3e7ee; --wash: #f6f8fb;
  --run: #2f5fd0; --good: #1a7f4b; --bad: #b42318; --warn: #b25e09; --fault: #d9480f;
  --sans: "Inter", "Source Sans 3", "Segoe UI", "Helvetica Neue", "Liberation Sans", Arial,
    sans-serif;
  --mono: "JetBrains Mono", "SF Mono", "Cascadia Mono", "Liberation Mono", Consolas, monospace;
}
* { box-sizing: border-box; }
html { background: #fff; }
body {
  margin: 0 auto; padding: 3.2rem 2rem 4rem; max-width: 1000px; color: var(--ink);
  font: 15px/1.55 var(--sans); font-variant-numeric: tabular-nums;
  -webkit-print-color-adjust: exact; print-color-adjust: exact;
}
header { border-bottom: 2px solid var(--ink); padding-bottom: 1.3rem; margin-bottom: 0.9rem; }
h1 { font-size: 2.15rem; line-height: 1.15; margin: 0 0 0.3rem; letter-spacing: -0.022em; }
h1 .pill { vertical-align: 0.42em; }
h2 {
  font-size: 1.22rem; letter-spacing: -0.01em; margin: 2.9rem 0 0.35rem;
  border-top: 1px solid var(--line); padding-top: 1.15rem;
}
h3 { font-size: 0.98rem; margin: 1.5rem 0 0.3rem; }
p { margin: 0.35rem 0 0.8rem; max-width: 72ch; }
.about { color: var(--soft); margin-bottom: 0; }
.note, figcaption { color: var(--soft); font-size: 0.87rem; }
.kicker {
  color: var(--faint); font-size: 0.78rem; letter-spacing: 0.09em; text-transform: uppercase;
  margin: 0 0 0.5rem;
}
.pill {
  display: inline-block; font-size: 0.72rem; font-weight: 650; letter-spacing: 0.03em;
  padding: 0.16rem 0.62rem; border-radius: 99px; margin-left: 0.5rem;
  color: #fff; background: var(--soft);
}
.pill.completed { background: var(--good); } .pill.failed { background: var(--bad); }
.pill.interrupted, .pill.unfinished { background: var(--warn); }
nav { font-size: 0.84rem; margin: 0 0 1.2rem; color: var(--faint); }
nav a { margin-right: 0.8rem; white-space: nowrap; }
a { color: var(--run); text-decoration: none; } a:hover { text-decoration: underline; }
dl.facts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr));
  gap: 0.85rem 1.4rem; margin: 1.2rem 0 0.6rem;
}
dl.facts div.wide { grid-column: span 2; }
dl.facts dt { color: var(--faint); font-size: 0.76rem; letter-spacing: 0.03em; }
dl.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
dl.facts dd.mono { font: 500 0.86rem/1.7 var(--mono); }
dl.facts small { font-weight: 400; color: var(--soft); }
.box {
  border-left: 3px solid var(--warn); background: #fff8ee; padding: 0.65rem 1rem; margin: 1rem 0;
  border-radius: 0 5px 5px 0;
}
.box.failed { border-color: var(--bad); background: #fef3f2; }
.box p { margin: 0.1rem 0; }
.box pre { background: none; border: 0; padding: 0.3rem 0 0; }
table { border-collapse: collapse; font-size: 0.88rem; margin: 0.7rem 0 0.9rem; }
table.full { width: 100%; }
th {
  text-align: left; font-weight: 600; font-size: 0.77rem; color: var(--soft);
  border-bottom: 1.5px solid var(--ink); padding: 0.25rem 0.7rem 0.3rem 0; vertical-align: bottom;
}
td { padding: 0.27rem 0.7rem 0.27rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th.n, td.n { text-align: right; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
td small, th small { color: var(--faint); font-weight: 400; }
tr.first td, tr.total td { font-weight: 650; }
tr.total td { border-top: 1.5px solid var(--ink); }
tr.total td, tr:last-child td { border-bottom: 0; }
td.n small { display: block; line-height: 1.2; }
td.own { color: var(--run); font-weight: 650; }
td.better { color: var(--good); } td.worse { color: var(--bad); }
td .err { color: var(--bad); }
td.strip { width: 190px; padding-top: 0.12rem; padding-bottom: 0; }
td.strip svg { display: block; }
.scroll { overflow-x: auto; }
table.heat { font-size: 0.79rem; }
table.heat th { border: 0; padding: 0.15rem 0.45rem; font-size: 0.75rem; vertical-align: middle; }
table.heat th.n { font-weight: 500; white-space: nowrap; }
table.heat td {
  border: 2px solid #fff; padding: 0.28rem 0.45rem; text-align: right; min-width: 4.1rem;
}
table.heat td.none { background: var(--wash); color: #c3cad6; }
.pair { display: flex; flex-wrap: wrap; gap: 0.4rem 2.6rem; }
figure { margin: 0.8rem 0 1.1rem; }
figure svg { display: block; width: 100%; height: auto; overflow: visible; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figcaption { margin-top: 0.3rem; }
.key {
  display: flex; flex-wrap: wrap; gap: 0.2rem 1.15rem; font-size: 0.83rem; color: var(--soft);
}
.key i {
  display: inline-block; width: 0.72em; height: 0.72em; border-radius: 50%; margin-right: 0.4em;
}
.key i.square { border-radius: 2px; }
pre {
  font: 0.79rem/1.5 var(--mono); background: var(--wash); border: 1px solid var(--line);
  border-radius: 6px; padding: 0.85rem 1.05rem; overflow-x: auto; white-space: pre-wrap;
  overflow-wrap: anywhere;
}
pre.two { columns: 2; column-gap: 2.2rem; }
pre.commands { color: var(--ink); background: #fff; }
code { font: 0.86em var(--mono); }
summary { cursor: pointer; color: var(--run); font-size: 0.89rem; }
ins { background: #e9f7ef; text-decoration: none; } del { background: #fdeeec; }
footer {
  margin-top: 3.2rem; padding-top: 0.8rem; border-top: 1px solid var(--line); color: var(--faint);
  font-size: 0.81rem;
}
@page { size: A4; margin: 17mm 15mm 18mm; }
@media print {
  html { font-size: 12.4px; }
  body { padding: 0; max-width: none; font-size: 9pt; }
  nav { display: none; }
  p { max-width: none; }
  h2 { break-after: avoid; margin-top: 1.8rem; } h3 { break-after: avoid; }
  figure, tr, .box, dl.facts, table.heat, .keep { break-inside: avoid; }
  thead { display: table-header-group; }
  section.page { break-before: page; }
  section.page > h2 { border-top: 0; padding-top: 0; margin-top: 0; }
  a { color: inherit; }
  .scroll { overflow: visible; }
  details:not([open]) { display: none; }
}
"""


def text(value: Cell) -> str:
    """A value as markup."""
    if isinstance(value, Raw):
        return str(value)
    return escape("" if value is None else str(value), quote=False)


def tag(name: str, inner: Cell, css: str = "", **attributes: str) -> Raw:
    """One element around text or markup."""
    given = {"class": css, **attributes} if css else attributes
    written = "".join(f' {k.rstrip("_")}="{escape(v)}"' for k, v in given.items())
    return Raw(f"<{name}{written}>{text(inner)}</{name}>")


def join(parts: Iterable[Cell], between: str = "\n") -> Raw:
    """Several in a row."""
    return Raw(between.join(text(part) for part in parts))


def table(
    heads: Sequence[Cell],
    rows: Iterable[Sequence[Cell]],
    numbers: Iterable[int] = (),
    css: str = "full",
    row_css: Sequence[str] = (),
    cell_css: dict[tuple[int, int], str] | None = None,
) -> Raw:
    """A table. numbers: columns that are set right. row_css: by row; cell_css: by (row, column)."""
    right, classes = set(numbers), cell_css or {}

    def line(kind: str, cells: Sequence[Cell], row: int, css: str = "") -> Raw:
        found = []
        for i, cell in enumerate(cells):
            own = " ".join(filter(None, ("n" if i in right else "", classes.get((row, i), ""))))
            found.append(tag(kind, cell, own))
        return tag("tr", join(found, ""), css)

    head = tag("thead", line("th", heads, -1)) if heads else Raw("")
    body = [
        line("td", cells, row, row_css[row] if row < len(row_css) else "")
        for row, cells in enumerate(rows)
    ]
    return tag("table", join([head, tag("tbody", join(body))], ""), css)


def facts(pairs: Iterable[tuple[str, Cell, str]]) -> Raw:
    """Names and values. The third of each is `mono`, `wide` or ""; what is empty is left out."""
    found = []
    for name, value, css in pairs:
        if value not in ("", None):
            inner = join([tag("dt", name), tag("dd", value, "mono" if "mono" in css else "")], "")
            found.append(tag("div", inner, "wide" if "wide" in css else ""))
    return tag("dl", join(found), "facts")


def figure(svg: Raw, caption: Cell = "") -> Raw:
    """A picture and what it shows."""
    return tag("figure", join([svg, tag("figcaption", caption) if caption else ""], ""))


def key(entries: Iterable[tuple[str, str]], css: str = "") -> Raw:
    """What colours mean: (colour, words)."""
    dots = [
        tag("span", join([tag("i", "", css, style=f"background:{colour}"), words], ""))
        for colour, words in entries
    ]
    return tag("div", join(dots), "key")


def section(title: str, *parts: Cell, css: str = "", anchor: str = "") -> Raw:
    """A part of the page with its heading; nothing, if there is nothing in it."""
    inner = [part for part in parts if part]
    if not inner:
        return Raw("")
    name = anchor or title.lower().replace(" ", "-")
    return tag("section", join([tag("h2", title), *inner]), css, id=name)


def page(title: str, head: Raw, sections: Sequence[Raw], foot: Cell) -> str:
    """A whole document, with links to its sections."""
    links = []
    for each in sections:
        if each:
            anchor = each.split('id="', 1)[1].split('"', 1)[0]
            heading = each.split("<h2>", 1)[1].split("</h2>", 1)[0]
            links.append(tag("a", Raw(heading), href=f"#{anchor}"))
    body = join([head, tag("nav", join(links)), *sections, tag("footer", foot)])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def save(path: Path, document: str) -> Path:
    """Writes a page: it is there whole, or not at all. Raises: SimError."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(document, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise SimError(f"cannot write {path}: {error.strerror or error}") from None
    return path
