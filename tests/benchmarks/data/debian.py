"""Texts of Debian's packages, which are fetched by ``apt-get`` where they are not installed.

- WordNet's glosses (wordnet-base): which of its 45 lexicographer files does a definition come from? The files
  ``data.noun`` and so on are looked for in the folder given by ``--wordnet`` or by the environment variable
  ``SGDKIT_WORDNET``, then where the package puts them, then in the cache folder.
- Verses (bible-kjv, bible-kjv-text): which testament, and which book?
- The descriptions of all packages: which section of the archive, and how large is what they install?
"""

import os
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split

from tests.benchmarks.data.fetched import apt_lists, cache, debian_package, run
from tests.benchmarks.data.split import Problem, Split, common, texts_of
from tests.benchmarks.timing import Missing

WORDNET_PACKAGE = "wordnet-base"
WORDNET_FOLDER = Path("usr", "share", "wordnet")
WORDNET_FILES = [f"data.{part}" for part in ("noun", "verb", "adj", "adv")]
OLD_BOOKS = 39
VERSE = re.compile(r"(\d?[A-Za-z]+)\d+:\d+ (.*)")
FEWEST_PACKAGES = 100


# ---------------------------------------------------------------------------------------------------------- WordNet


@lru_cache
def wordnet(folder=None, n_rows=None):
    """WordNet's glosses as TF-IDF (float64, the vectoriser's default), with 45 classes.

    Parameters
    ----------
    folder : str or None
        Where the files are; None looks for them.
    n_rows : int or None
        At most so many glosses.

    Returns
    -------
    split : Split
        Four fifths are training rows.
    """
    texts, y = _glosses(_wordnet_folder(folder))
    if n_rows is not None:
        kept = np.random.default_rng(0).permutation(len(y))[:n_rows]
        texts, y = [texts[i] for i in kept], y[kept]
    texts, texts_test, y, y_test = train_test_split(texts, y, test_size=0.2, random_state=1)
    vectoriser = TfidfVectorizer(min_df=2)
    X = vectoriser.fit_transform(texts)
    return Split(X, y, vectoriser.transform(texts_test), y_test, texts, texts_test)


def glosses():
    """The same as a `Problem`."""
    texts, y = _glosses(_wordnet_folder(None))
    return Problem(texts_of(texts), y, lambda: TfidfVectorizer(min_df=2))


def _glosses(folder):
    """Definitions, and the numbers of the lexicographer files that they come from."""
    texts, labels = [], []
    for name in WORDNET_FILES:
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):  # the licence
                fields, gloss = line.split(" | ", 1)
                texts.append(gloss.strip())
                labels.append(int(fields.split(" ", 2)[1]))
    return texts, np.array(labels)


def _wordnet_folder(folder):
    folder = folder or os.environ.get("SGDKIT_WORDNET")
    candidates = [Path(folder)] if folder else [Path("/") / WORDNET_FOLDER, cache() / WORDNET_FOLDER]
    for candidate in candidates:
        if all((candidate / name).exists() for name in WORDNET_FILES):
            return candidate
    if folder:
        raise Missing(f"WordNet: {folder} does not hold {', '.join(WORDNET_FILES)}")
    debian_package(WORDNET_PACKAGE)
    return cache() / WORDNET_FOLDER


# ----------------------------------------------------------------------------------------------------------- verses


def verses(books=False):
    """Which testament is a verse of, or which of its 66 books?"""
    texts, labels = _verses()
    order = {book: place for place, book in enumerate(dict.fromkeys(labels))}
    y = np.array([order[book] for book in labels])
    return Problem(texts_of(texts), y if books else (y >= OLD_BOOKS).astype(int), TfidfVectorizer)


@lru_cache
def _verses():
    """Texts, and the abbreviated names of their books, by the package's own program."""
    program, text = cache() / "usr" / "bin" / "bible", cache() / "usr" / "lib" / "bible.data"
    if not (program.exists() and text.exists()):
        debian_package("bible-kjv")
        debian_package("bible-kjv-text")
    command = [program, "-f", "-p", text.parent, "gen1:1-rev22:21"]
    matches = map(VERSE.fullmatch, run(command, cache(), "bible-kjv").splitlines())
    books, texts = zip(*(match.groups() for match in matches if match), strict=True)
    return texts, books


# --------------------------------------------------------------------------------------------------------- packages


def packages(sizes=False):
    """Which section is a package in, or what is the logarithm of the KiB that it takes?

    Packages that are built from one source stay together, for their descriptions say much the same.
    """
    texts, sections, sources, kibibytes = zip(*_packages(), strict=True)
    texts, sources = texts_of(texts), np.array(sources)
    if sizes:
        y, kind = np.log(np.maximum(kibibytes, 1.0)), "regression"
        kept = y > 0
    else:
        y, kind = np.array(sections), "classification"
        kept = common(y, FEWEST_PACKAGES)
    return Problem(texts[kept], y[kept], TfidfVectorizer, kind, sources[kept])


@lru_cache
def _packages():
    """Description, section, source and size in KiB of each package."""
    folder, found = apt_lists(), {}
    descriptions = {
        stanza["Description-md5"]: stanza["Description-en"]
        for path in sorted(folder.glob("*_Translation-en"))
        for stanza in _stanzas(path)
    }
    for path in sorted(folder.glob("*_Packages")):
        for stanza in _stanzas(path):
            text = descriptions.get(stanza.get("Description-md5"), stanza.get("Description", ""))
            source = stanza.get("Source", stanza["Package"]).split()[0]
            size = float(stanza.get("Installed-Size", 0))
            found[stanza["Package"]] = text, stanza.get("Section", ""), source, size
    return list(found.values())


def _stanzas(path):
    """The fields of each paragraph of a file in the format of Debian's control files."""
    for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
        fields = re.split(r"\n(?! )", paragraph.strip())
        if fields != [""]:
            yield {name: value.strip() for name, value in (field.split(":", 1) for field in fields)}
