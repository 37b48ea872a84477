"""`make docs`: every document becomes a page that works offline, and every link of the site leads somewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from scripts.docs.diagram import connections
from scripts.docs.site import Page, build, documents, navigation, path_of

ROOT = Path(__file__).parents[3]


class Reader(HTMLParser):
    """Collects what a page loads, where it links to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values["id"]} if "id" in values else set()
        if tag == "a":
            self.links.append(values["href"])
        else:
            self.loads += [values[name] for name in ("href", "src") if name in values]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Page]]:
    folder = tmp_path_factory.mktemp("site")
    return folder, build(ROOT, folder)


def test_every_document_has_a_page_with_the_navigation(site: tuple[Path, list[Page]]) -> None:
    folder, pages = site
    assert {page.source for page in pages} == set(documents(ROOT))
    titles = [group.title for group in navigation((ROOT / "docs/README.md").read_text())]
    assert titles == ["Overview", "Tutorials", "How-to guides", "Reference", "Explanation", "Development"]
    for page in pages:
        text = (folder / page.path).read_text()
        assert [title for title in titles if f"<summary>{title}</summary>" not in text] == []


def test_pages_load_nothing_from_another_host(site: tuple[Path, list[Page]]) -> None:
    folder, pages = site
    loaded = {one for page in pages for one in Reader((folder / page.path).read_text()).loads}
    assert [one for one in loaded if "//" in one] == []
    for name in ("style.css", "search.js"):
        assert not any(word in (folder / name).read_text() for word in ("url(", "@import", "fetch(", "import("))


def test_links_of_the_site_lead_somewhere(site: tuple[Path, list[Page]]) -> None:
    folder, pages = site
    read = {(folder / page.path).resolve(): Reader((folder / page.path).read_text()) for page in pages}
    dead = []
    for path, reader in read.items():
        for link in (*reader.links, *reader.loads):
            if link.startswith(("https:", "http:", "mailto:", "data:")) or link == "#":
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            if not target.is_file() or (anchor and target in read and anchor not in read[target].anchors):
                dead.append(f"{path.relative_to(folder.resolve())}: {link}")
    assert dead == []


def test_code_tables_and_diagrams_are_rendered(site: tuple[Path, list[Page]]) -> None:
    folder, _ = site
    start = (folder / "index.html").read_text()
    assert '<pre class="code"><code>' in start
    assert "<table>" in start
    assert "<li>Web Browser → Web Server</li>" in start
    assert "Web Browser → Web Server (B1)" in (folder / path_of("ARCHITECTURE.md")).read_text()
    assert "```" not in start


def test_connections_of_a_diagram_have_the_names_of_their_ends() -> None:
    chart = "flowchart LR\n  a[One] -- B1 --> b[(Two)]\n  subgraph x [y]\n    b <--> c[Three]\n  end\n  c --> a\n"
    assert list(connections(chart)) == ["One → Two (B1)", "Two ↔ Three", "Three → One"]
