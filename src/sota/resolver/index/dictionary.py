"""The distinct things of the fleet by number, and which of them a test in a filter means.

>>> from sota.resolver.language.parser import parse
>>> dictionary = Dictionary({Kind.PACKAGE: {1: ("ivi", "1.0.0"), 2: ("ivi", "2.0.0")}})
>>> dictionary.find(parse('has_package "ivi" "^2"'))
(<Kind.PACKAGE: 1>, (2,))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from sota.resolver.changes.model import Kind, Texts
from sota.resolver.language.expression import (
    HasAttribute,
    HasComponent,
    HasPackage,
    HasPackageVersion,
    InGroup,
)

ThingLeaf = HasComponent | HasPackage | HasPackageVersion | HasAttribute | InGroup
Found = tuple[Kind, tuple[int, ...]]
MAX_REMEMBERED = 2_000


class Dictionary:
    """Every distinct thing. Immutable: another state of the fleet has another dictionary."""

    def __init__(self, texts: Mapping[Kind, Mapping[int, Texts]]) -> None:
        self.texts: Mapping[Kind, Mapping[int, Texts]] = {kind: texts.get(kind, {}) for kind in Kind}
        self._found: dict[ThingLeaf, Found] = {}

    def changed(self, gone: Mapping[Kind, set[int]], new: Mapping[Kind, Mapping[int, Texts]]) -> Dictionary:
        """Return the dictionary with some things removed and others added."""
        texts = {}
        for kind, known in self.texts.items():
            without = gone.get(kind, ())
            kept = {number: text for number, text in known.items() if number not in without} if without else known
            texts[kind] = {**kept, **new.get(kind, {})}
        return Dictionary(texts)

    def find(self, leaf: ThingLeaf) -> Found:
        """Find the things that a test means, sorted by number. Results are cached."""
        found = self._found.get(leaf)
        if found is None:
            kind, numbers = self._search(leaf)
            found = kind, tuple(sorted(numbers))
            if len(self._found) >= MAX_REMEMBERED:
                for old in list(islice(self._found, MAX_REMEMBERED // 2)):
                    self._found.pop(old, None)  # another thread may have removed it
            self._found[leaf] = found
        return found

    def _search(self, leaf: ThingLeaf) -> tuple[Kind, Iterator[int]]:
        match leaf:
            case HasPackage(name, version):
                return Kind.PACKAGE, self._search_packages(name.finds, version.finds)
            case HasPackageVersion():
                return self._search_texts(Kind.PACKAGE, leaf.finds)
            case HasComponent(part_number):
                return self._search_texts(Kind.COMPONENT, part_number.finds)
            case HasAttribute():
                return self._search_texts(Kind.ATTRIBUTE, leaf.finds)
            case InGroup(name):
                return self._search_texts(Kind.GROUP, lambda text: text == name)

    def _search_texts(self, kind: Kind, finds: Callable[..., bool]) -> tuple[Kind, Iterator[int]]:
        return kind, (number for number, text in self.texts[kind].items() if finds(*text))

    def _search_packages(self, name: Callable[[str], bool], version: Callable[[str], bool]) -> Iterator[int]:
        """Test each name once, and each version of matching names once."""
        packages = self.texts[Kind.PACKAGE]
        names = {text for text in {one for one, _version in packages.values()} if name(text)}
        versions = {its for one, its in packages.values() if one in names}
        meant = {text for text in versions if version(text)}
        return (number for number, (one, its) in packages.items() if one in names and its in meant)
