"""Every two choices meet, but for those that do not go together; and few others do."""

from itertools import combinations, product

import pytest

from tests.pairs import all_pairs, covering

LISTS = ["abcdefgh", range(4), [False, True], range(10, 13), "xy"]


def pairs_of(rows):
    return {pair for row in rows for pair in combinations(enumerate(row), 2)}


def test_every_two_values_meet_in_few_combinations():
    rows = list(covering(*LISTS))
    assert pairs_of(rows) == pairs_of(product(*LISTS))
    # No fewer would have all pairs of the two longest lists.
    assert len(rows) == 8 * 4
    assert rows == list(covering(*LISTS))


def test_what_does_not_go_together_takes_no_pair_from_others():
    def allowed(*values):
        return not ("a" in values and not {2, 3}.isdisjoint(values))

    rows = list(covering(*LISTS, allowed=allowed))
    assert pairs_of(rows) == pairs_of(row for row in product(*LISTS) if allowed(*row))


def test_marks_below_are_one_list_of_pairs_and_those_above_stay():
    @pytest.mark.parametrize("above", range(3))
    @all_pairs(unless=lambda first=None, third=None, **others: first == 1 and third == "y")
    @pytest.mark.parametrize("first", [0, 1])
    @pytest.mark.parametrize(("second", "third"), [(4, "x"), (5, "y")], ids=["four", "five"])
    @pytest.mark.parametrize("fourth", [int, float], ids=str)
    def tested(above, first, second, third, fourth):
        pass

    pairs, above = tested.pytestmark
    names, rows = pairs.args
    assert above.args == ("above", range(3))
    met = {frozenset(pair) for row in rows for pair in combinations(zip(names, row.values, strict=True), 2)}
    # Four, and one for "x" and 0, since "y" goes with 0 alone.
    assert len(rows) == 5
    assert frozenset({("first", 0), ("third", "y")}) in met
    assert frozenset({("first", 1), ("third", "y")}) not in met
    assert {
        frozenset({("second", second), ("fourth", cls)}) for second in (4, 5) for cls in (int, float)
    } <= met
    assert any(row.id == "<class 'int'>-five-0" for row in rows)
