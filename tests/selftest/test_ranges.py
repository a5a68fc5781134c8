"""Proving the register: what programs show, the ranges that this gives, and the file that is rewritten."""

import json

import pytest

from conformance.divergences import REGISTER, Divergence, load_register
from conformance.divergences.__main__ import main
from conformance.divergences.ranges import RangeError, revised, rewritten
from conformance.divergences.showing import DIED, NOT_SHOWN, SHOWN, Showing, keep, read, run_programs, surprises


def record(versions, name="made-up", program="", **signature):
    signature = signature or {"raises": "ValueError", "tests": [f"test_{name}"]}
    return Divergence(name, "departs", "why", versions, program, **signature)


def showings(ends, name="made-up"):
    return [Showing({"keras": version}, {name: end}) for version, end in ends.items()]


PROGRAMS = {
    "raise ValueError": SHOWN,
    "assert False": SHOWN,
    "pass": NOT_SHOWN,
    "import nothing_of_this_name": "ModuleNotFoundError: No module named 'nothing_of_this_name'",
    "import os; os.abort()": DIED,
}


def test_programs_end_as_they_do():
    records = [record({}, str(number), program) for number, program in enumerate(PROGRAMS)]
    records.append(record({}, "dies", "import os; os.abort()", crashes=True, cases=[{}]))
    assert list(run_programs(records, {}).ends.values()) == [*PROGRAMS.values(), SHOWN]


@pytest.mark.parametrize(
    ("old", "ends", "new"),
    [
        (">=3.0", {"2.15": NOT_SHOWN, "3.0": SHOWN, "3.1": SHOWN}, ">=3.0"),
        (">=3.0", {"3.0": SHOWN, "3.1": SHOWN, "3.2": NOT_SHOWN, "3.3": NOT_SHOWN}, ">=3.0,<=3.1"),
        (">=3.0,<3.2", {"2.15": NOT_SHOWN, "3.0": NOT_SHOWN, "3.1": SHOWN}, ">=3.1,<3.2"),
        (">=3.0,<=3.15.1", {"3.15.1": SHOWN, "3.16.0": SHOWN}, ">=3.0,<=3.16.0"),
        (">=3.0.3,<3.1", {"3.0.0": NOT_SHOWN, "3.0.5": SHOWN, "3.1": SHOWN}, ">=3.0.3,<=3.1"),
        (">=2.3,!=2.3.1", {"2.2": SHOWN, "2.3.1": NOT_SHOWN, "2.3.0": SHOWN}, ">=2.2,!=2.3.1"),
        ("==2.3.1", {"2.2": NOT_SHOWN, "2.3.1": SHOWN, "2.4": SHOWN}, ">=2.3.1,<=2.4"),
        (">=3.0", {"3.0": SHOWN, "3.1": NOT_SHOWN, "3.2": SHOWN}, None),
        (">=3.0", {"3.0": NOT_SHOWN}, None),
        (">=3.0", {"2.15": DIED, "3.0": SHOWN}, ">=3.0"),
    ],
)
def test_range(old, ends, new):
    own = record({"keras": old})
    if new:
        assert revised(own, [own], showings(ends)) == new
    else:
        with pytest.raises(RangeError, match="made-up: "):
            revised(own, [own], showings(ends))


def test_what_another_record_tells_does_not_count():
    old, new = record({"keras": "<3"}, "old", tests=["test_it"], raises="ValueError"), record({"keras": ">=3"})
    told = record({"keras": ">=3"}, tests=["test_it"], raises="TypeError")
    showing = Showing({"keras": "3.1"}, {"old": SHOWN, "made-up": SHOWN})
    assert surprises([old, told], showing) == []
    assert surprises([old, new], showing) == ["old: is on record for keras <3 only, but its program shows it here too"]


def test_two_packages_are_left_to_a_person():
    own = record({"keras": ">=3", "tensorflow": "<2.17"})
    with pytest.raises(RangeError, match="by hand"):
        revised(own, [own], [Showing({"keras": "3.0", "tensorflow": "2.16"}, {"made-up": NOT_SHOWN})])


def test_only_the_range_is_rewritten():
    text, own = REGISTER.read_text(encoding="utf-8"), load_register()[1]
    written = rewritten(text, own, ">=9.9")
    changed = [(a, b) for a, b in zip(text.splitlines(), written.splitlines()) if a != b]
    ((before, after),) = changed
    assert before.startswith("versions = ")
    assert after == 'versions = { keras = ">=9.9" }'
    assert len(text.splitlines()) == len(written.splitlines())


def test_update_rewrites_a_file(tmp_path, capsys):
    register, kept = tmp_path / "register.toml", tmp_path / "kept.json"
    register.write_text(REGISTER.read_text(encoding="utf-8"), encoding="utf-8")
    name = next(own.id for own in load_register() if own.versions == {"keras": ">=3.0"})
    keep(Showing({"keras": "3.0", "tensorflow": "2.16"}, {name: SHOWN}), kept)
    keep(Showing({"keras": "3.16", "tensorflow": "2.22"}, {name: NOT_SHOWN}), tmp_path / "new.json")
    assert read(kept).ends == {name: SHOWN}
    assert main(["--register", str(register), "update", str(kept), str(tmp_path / "new.json")]) == 0
    assert f"{name}: >=3.0 is now >=3.0,<=3.0" in capsys.readouterr().out
    (own,) = (one for one in load_register(register) if one.id == name)
    assert own.versions == {"keras": ">=3.0,<=3.0"}


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"versions": {}})])
def test_what_was_not_kept_is_refused(text, tmp_path, capsys):
    path = tmp_path / "kept.json"
    path.write_text(text, encoding="utf-8")
    assert main(["update", str(path)]) == 2
    assert f"{path}: is not what" in capsys.readouterr().err
