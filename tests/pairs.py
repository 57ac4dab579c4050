"""Fewer combinations of parameters than their product, for tests of what two of them at most can do to each other."""

from itertools import combinations

import pytest


def covering(*lists, allowed=lambda *values: True):
    """Combinations, a value of each list, in which every two that are allowed meet; the same in each call.

    `allowed` is asked about some values of a combination, or all; more of them never make up for what fewer may not.
    """
    places = range(len(lists))
    missing = {
        ((a, i), (b, j)): None
        for a, b in combinations(places, 2)
        for i, of_a in enumerate(lists[a])
        for j, of_b in enumerate(lists[b])
        if allowed(of_a, of_b)
    }
    uses = [[0] * len(values) for values in lists]
    while missing:
        row = dict(next(iter(missing)))
        for place in places:
            if place not in row:
                chosen = [lists[other][i] for other, i in row.items()]
                choices = [i for i, value in enumerate(lists[place]) if allowed(*chosen, value)]
                # Of those that make as many new pairs, the one that is the rarest so far.
                worth = {i: (_new_pairs((place, i), row, missing), -uses[place][i]) for i in choices}
                row[place] = max(choices, key=worth.get)
            uses[place][row[place]] += 1
        for pair in combinations(sorted(row.items()), 2):
            missing.pop(pair, None)
        yield tuple(lists[place][row[place]] for place in places)


def _new_pairs(item, row, missing):
    return sum(tuple(sorted((item, other))) in missing for other in row.items())


def _choices(mark):
    """Of each choice of a `parametrize`: its arguments by name, and its id."""
    names, choices = mark.args
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
    choices = [dict(zip(names, choice if len(names) > 1 else [choice], strict=True)) for choice in choices]
    ids = mark.kwargs.get("ids") or (lambda value: getattr(value, "__name__", str(value)))
    if callable(ids):
        ids = ["-".join(str(ids(value)) for value in choice.values()) for choice in choices]
    return list(zip(choices, ids, strict=True))


def all_pairs(test=None, *, unless=lambda **arguments: False):
    """Run a test with every two choices of each `parametrize` below, rather than with their product.

    Those above multiply what is left, as ever. Arguments of which `unless` is true do not go together.
    """
    if test is None:
        return lambda test: all_pairs(test, unless=unless)

    def arguments(choices):
        return {name: value for choice, _ in choices for name, value in choice.items()}

    lists = [_choices(mark) for mark in test.pytestmark if mark.name == "parametrize"]
    rows = covering(*lists, allowed=lambda *choices: not unless(**arguments(choices)))
    combined = [pytest.param(*arguments(row).values(), id="-".join(name for _, name in row)) for row in rows]
    test.pytestmark = [mark for mark in test.pytestmark if mark.name != "parametrize"]
    names = list(arguments(of[0] for of in lists))
    return pytest.mark.parametrize(names, combined)(test)
