"""HTML from functions: every text is escaped unless it is `Html` already."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Markup that is safe to put into a page as it is."""

    __slots__ = ()


VOID = {"img", "meta", "br", "hr", "col"}


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """One element.

    Args:
        name: tag.
        children: `Html` is kept; anything else is text and is escaped; None is left out.
        attributes: ``class_`` is spelled ``class``, other underscores become hyphens. True gives a bare
            attribute, None and False leave it out.
    """
    words = [name]
    for key, value in attributes.items():
        spelled = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(spelled)
        elif value is not None and value is not False:
            words.append(f'{spelled}="{html.escape(str(value))}"')
    opening = f"<{' '.join(words)}>"
    return Html(opening if name in VOID else f"{opening}{join(children)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after the other; what is not `Html` is escaped."""
    return Html(
        between.join(
            part if isinstance(part, Html) else html.escape(str(part)) for part in parts if part is not None
        )
    )


def scroll_box(content: object, label: str) -> Html:
    """A box that scrolls sideways by itself, also by keyboard, so that the page never does."""
    return element("div", content, class_="scroll", role="region", tabindex="0", aria_label=label)


def table(
    columns: Sequence[object], rows: Iterable[Sequence[object]], label: str, class_: str | None = None
) -> Html:
    """A table in a box of its own. The first cell of a row heads it; cells that are `<td>` are kept so.

    Args:
        columns: heads.
        rows: cells.
        label: what the table says, for those who do not see it.
        class_: of the table.
    """
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    body = [
        element("tr", element("th", cells[0], scope="row"), *(_cell(cell) for cell in cells[1:]))
        for cells in rows
    ]
    content = element("table", element("thead", head), element("tbody", *body), class_=class_)
    return scroll_box(content, label)


def _cell(content: object) -> Html:
    is_cell = isinstance(content, Html) and content.startswith("<td")
    return content if is_cell else element("td", content)


def details(summary: object, *children: object, is_open: bool = False) -> Html:
    """Content that opens on request."""
    return element("details", element("summary", summary), *children, open=is_open)


def figure(content: object, caption: object, class_: str | None = None) -> Html:
    """A figure with its caption."""
    return element("figure", content, element("figcaption", caption), class_=class_)


def note(*text: object) -> Html:
    """A sentence that says what is missing or wrong."""
    return element("p", *text, class_="note")


def code(text: object) -> Html:
    """A command or a name, as it is typed."""
    return element("code", text)
