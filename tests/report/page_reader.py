"""A reader of the HTML that a report is."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

BLOCKS = {"p", "li", "td", "th", "dt", "dd", "div", "pre", "h1", "h2", "h3", "h4", "details", "summary", "section"}
VOID = {"meta", "img", "input", "br", "link", "hr"}


@dataclass
class Page:
    """A parsed page: its elements with their attributes, its visible text, its headings in order."""

    source: str
    folder: Path = Path()
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    headings: list[tuple[int, str]] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page("")
        self.open: list[str] = []
        self.heading: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag in BLOCKS:
            self.page.text += " "
        if tag in {"h1", "h2", "h3", "h4"}:
            self.heading = []

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.page.unclosed.append(f"{tag} closes {self.open[-1:]}")
        else:
            self.open.pop()
        if tag in {"h1", "h2", "h3", "h4"}:
            self.page.headings.append((int(tag[1]), " ".join("".join(self.heading or []).split())))
            self.heading = None

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            return
        self.page.text += data
        if self.heading is not None:
            self.heading.append(data)


def parse(path: Path) -> Page:
    """The page in a file."""
    reader = _Reader()
    source = path.read_text(encoding="utf-8")
    reader.feed(source)
    reader.close()
    reader.page.source, reader.page.folder = source, path.parent
    reader.page.text = " ".join(reader.page.text.split())
    reader.page.unclosed += reader.open
    return reader.page
