"""The static site: each Markdown file of the repository becomes a page below ``dist/docs``.

Rules kept here:

* the pages work offline, from a file or a server: no address of another host, only fonts of the system;
* the navigation is docs/README.md: its headings and the links below them, in its order;
* a link to a Markdown file becomes a link to its page; another linked file is copied beside the pages;
* a Mermaid diagram becomes a list of its connections, because drawing one needs a browser engine.
"""

from __future__ import annotations

import html
import itertools
import json
import os
import posixpath
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from scripts.docs.diagram import connections

HERE = Path(__file__).parent
INDEX = "docs/README.md"
PUNCTUATION = re.compile(r"[^\w\- ]")
FORMATTER = HtmlFormatter(nowrap=True)
LIGHT_STYLE, DARK_STYLE = "default", "github-dark"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a page: level, text and anchor."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered document: its path in the repository, title, HTML, and headings."""

    source: str
    title: str
    body: str
    headings: Sequence[Heading]

    @property
    def path(self) -> str:
        """The page's path in the site."""
        return path_of(self.source)


@dataclass(frozen=True, slots=True)
class Group:
    """A part of the navigation: a title, and the documents in it."""

    title: str
    sources: Sequence[str]


def build(root: Path, folder: Path) -> list[Page]:
    """Render every document of ``root`` into ``folder``, which is replaced. Return the pages."""
    shutil.rmtree(folder, ignore_errors=True)
    known = set(documents(root))
    pages = [render(root, source, known) for source in sorted(known)]
    titles = {page.source: page.title for page in pages}
    groups = navigation((root / INDEX).read_text())
    template = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    ).get_template("page.html")
    for page in pages:
        target = folder / page.path
        target.parent.mkdir(parents=True, exist_ok=True)
        up = posixpath.relpath(".", posixpath.dirname(page.path) or ".")
        target.write_text(template.render(page=page, groups=groups, titles=titles, path_of=path_of, up=up))
    for source in linked_files(root, known):
        (folder / "files" / source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / source, folder / "files" / source)
    (folder / "style.css").write_text((HERE / "style.css").read_text() + _code_colours())
    (folder / "search.js").write_text(f"const ENTRIES = {_search_entries(pages)};\n{(HERE / 'search.js').read_text()}")
    return pages


def documents(root: Path) -> Iterator[str]:
    """List the Markdown files that git tracks or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    yield from (name for name in sorted(set(listed.stdout.split("\0")) - {""}) if (root / name).is_file())


def path_of(source: str) -> str:
    """Return the path of a document's page: ``docs/reference/filters.md`` is ``reference/filters.html``."""
    if source == "README.md":
        return "index.html"
    if source == INDEX:
        return "documents.html"
    return source.removeprefix("docs/").removesuffix(".md") + ".html"


def navigation(index: str) -> list[Group]:
    """Read the navigation: headings of the second level, and the documents that are linked below each."""
    groups = []
    for part in index.split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        targets = re.findall(r"\]\(([^)#\s]+\.md)\)", text)
        sources = [posixpath.normpath(posixpath.join("docs", target)) for target in targets]
        groups.append(Group(title, list(dict.fromkeys(sources))))
    return groups


def slug(text: str, used: dict[str, int]) -> str:
    """Return a heading's anchor, as GitHub makes it; a second heading of the same text gets a number."""
    plain = PUNCTUATION.sub("", text.strip().lower()).replace(" ", "-")
    used[plain] = used.get(plain, -1) + 1
    return f"{plain}-{used[plain]}" if used[plain] else plain


def headings_of(text: str) -> list[Heading]:
    """List the headings of a document, with their anchors."""
    return _headings(MarkdownIt("commonmark").enable("table").parse(text))


def render(root: Path, source: str, known: set[str]) -> Page:
    """Render a document; ``known`` are the documents that have a page."""
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse((root / source).read_text())
    headings = _headings(tokens)
    anchors = iter(headings)
    for token in tokens:
        if token.type == "heading_open":
            token.attrSet("id", next(anchors).anchor)
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", _target(root, source, str(child.attrs["href"]), known))
    markdown.add_render_rule("fence", _fence)
    title = headings[0].text if headings else source
    return Page(source, title, markdown.renderer.render(tokens, markdown.options, {}), headings)


def linked_files(root: Path, known: set[str]) -> set[str]:
    """List the files that documents link to and that have no page of their own."""
    found = set()
    for source in known:
        for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", (root / source).read_text()):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
            if path not in known and (root / path).is_file():
                found.add(path)
    return found


def _headings(tokens: Sequence[Token]) -> list[Heading]:
    used: dict[str, int] = {}
    found = []
    for opened, inline in itertools.pairwise(tokens):
        if opened.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            found.append(Heading(int(opened.tag[1]), text, slug(text, used)))
    return found


def _target(root: Path, source: str, href: str, known: set[str]) -> str:
    if re.match(r"\w+:|#", href):
        return href
    name, _, anchor = href.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
    if path in known:
        page = path_of(path)
    elif f"{path}/README.md" in known:
        page = path_of(f"{path}/README.md")
    elif (root / path).is_file():
        page = f"files/{path}"
    else:
        return "#"
    relative = posixpath.relpath(page, posixpath.dirname(path_of(source)) or ".")
    return f"{relative}#{anchor}" if anchor else relative


def _fence(_renderer: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    token = tokens[index]
    language = token.info.split()[0] if token.info.strip() else "text"
    if language == "mermaid":
        items = "".join(f"<li>{html.escape(line)}</li>" for line in connections(token.content))
        return f'<ul class="diagram">{items}</ul>\n'
    try:
        code = highlight(token.content, get_lexer_by_name(language), FORMATTER)
    except ClassNotFound:
        code = html.escape(token.content)
    return f'<pre class="code"><code>{code}</code></pre>\n'


def _code_colours() -> str:
    light = HtmlFormatter(style=LIGHT_STYLE).get_style_defs(".code")
    dark = HtmlFormatter(style=DARK_STYLE).get_style_defs(".code")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _search_entries(pages: Sequence[Page]) -> str:
    entries = [
        [heading.text, page.title, f"{page.path}#{heading.anchor}"] for page in pages for heading in page.headings
    ]
    return json.dumps(entries, separators=(",", ":")).replace("</", "<\\/").replace(os.linesep, "")
