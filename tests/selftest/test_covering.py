"""The option space: its ids say what the cases are, and the frozen cases cover what they are said to cover."""

import sys
from functools import lru_cache
from itertools import combinations, product

import pytest

from conformance import space
from conformance.covering import ARRAYS, frozen_ids, words_of
from conformance.data import draw
from conformance.expected import sees
from conformance.expression import program, words

DEFAULT = frozen_ids("default")


COVERED = [
    pytest.param(array, topology, strength, id=f"{array}-{topology.name}")
    for array, (topologies, strength) in ARRAYS.items()
    for topology in topologies.values()
]


def rows_of(array, topology):
    return [topology.row(case_id) for case_id in frozen_ids(array) if case_id.split("-")[0] == topology.name]


@lru_cache(maxsize=None)
def go_together(array, name, combination):
    """Whether some row of this topology of an array has these words: an exhaustive search, option by option."""
    return _completable(ARRAYS[array][0][name], dict(combination))


def _completable(topology, chosen):
    if any(all(chosen.get(option) in words for option, words in some.items()) for some in space.EXCLUDED):
        return False
    concerned = {option for some in space.EXCLUDED for option in some if set(some) & set(chosen)}
    missing = sorted(option for option in concerned & set(topology.options) if option not in chosen)
    if not missing:
        return True
    words = topology.options[missing[0]]
    return any(_completable(topology, {**chosen, missing[0]: word}) for word in words)


def possible_in_pairs(array, topology, combination):
    """A combination of which two words exclude each other need not be searched for."""
    return all(go_together(array, topology.name, pair) for pair in combinations(combination, 2))


@pytest.mark.parametrize(("array", "topology", "strength"), COVERED)
def test_coverage(array, topology, strength, record_property, capsys):
    """Of all words, pairs or triples of words that go together, none is missing."""
    covered = {
        combination for row in rows_of(array, topology) for combination in combinations(sorted(row.items()), strength)
    }
    possible = {
        tuple(zip(options, words))
        for options in combinations(sorted(topology.options), strength)
        for words in product(*(topology.options[option] for option in options))
    }
    left_out = possible - covered
    missing = [
        one for one in left_out if possible_in_pairs(array, topology, one) and go_together(array, topology.name, one)
    ]
    counts = f"cover {len(covered)} of {len(possible)} combinations of {strength}"
    with capsys.disabled():
        sys.stdout.write(f"\n{array} {topology.name}: {len(rows_of(array, topology))} cases {counts}; ")
        sys.stdout.write(f"{len(left_out) - len(missing)} exclude themselves, {len(missing)} are missing")
    record_property("covered", len(covered))
    assert not missing, missing[:3]


@pytest.mark.parametrize("array", ARRAYS)
def test_every_case_sees_the_weights(array):
    """Where other weights give the same outputs nothing is tried. That is for the cases in which all is masked."""
    blind = [case_id for case_id in frozen_ids(array) if not sees(space.case(case_id))]
    assert [case_id for case_id in blind if "-all_masked-" not in case_id] == []


def test_the_smoke_tier_has_every_word_and_every_topology():
    covered = set().union(*map(words_of, frozen_ids("smoke")))
    assert covered == set().union(*map(words_of, DEFAULT))
    assert {topology for option, topology in covered if option == "topology"} == set(space.TOPOLOGIES)


@pytest.mark.parametrize("topology", space.TOPOLOGIES.values(), ids=lambda topology: topology.name)
def test_every_word_meets_every_mode(topology):
    rows = rows_of("default", topology)
    for option, known in topology.options.items():
        for word, mode in product(known, topology.options["mode"]):
            if option != "mode" and go_together("default", topology.name, ((option, word), ("mode", mode))):
                assert any(row[option] == word and row["mode"] == mode for row in rows), (word, mode)


def test_ids_are_unique_and_the_tiers_nested():
    assert len(set(DEFAULT)) == len(DEFAULT)
    assert set(frozen_ids("smoke")) <= set(DEFAULT)


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in frozen_ids("smoke")])
def test_a_case_is_what_its_id_says(name):
    case = space.case(name)
    topology = space.TOPOLOGIES[name.split("-")[0]]
    assert topology.id(topology.row(name)) == name
    data = draw(case)
    assert [inputs.x[0].shape[0] for inputs in data.calls] == [case.batch] * len(case.calls)
    assert program(case)
    assert case.mode == topology.row(name)["mode"]
    assert words(case)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gru-B3", "unknown topology 'gru'; known are lstm, cell,"),
        ("lstm-B3-T4-D2-functional-call-U3", "not one word for returns, which knows last, sequences,"),
        ("lstm-B3-B1-T4-D2-functional-call-U3-last", "not one word for batch, which knows B3, B1"),
        ("lstm-B3-T4-D2-functional-call-masking-U3-last", "no such case in the option space"),
        ("lstm-B3-T4-D2-functional-call-U3-last-wide", "no such case in the option space"),
    ],
)
def test_other_ids_are_refused(name, says):
    with pytest.raises(ValueError, match=says):
        space.case(name)
