"""Lines of results files as no run would leave them."""

import json

from conformance.report.results import HEADER

HOSTILE = "</script></style>\"'><img src=x onerror=alert(1)><script>document.title = 'taken'</script>{{ 7 * 7 }}"

STEPS, UNITS = 20, 8


def header(**other):
    known = ("keras", "backend", "numpy", "python", "device", "threads", "onednn")
    return {
        "$report_type": HEADER,
        "version": "0",
        "tier": "default",
        "chosen": "all",
        "seeds": "",
        "layer": "",
        **dict.fromkeys(known, "1"),
        **other,
    }


def case_line(case, verdict="conforms", evidence=None, **properties):
    failed = verdict == "diverges"
    return {
        "$report_type": "TestReport",
        "nodeid": f"tests/conformance/test_space.py::test_space[{case}]",
        "location": ["test_space.py", 1, "test_space"],
        "keywords": {},
        "outcome": "failed" if failed else "passed",
        "longrepr": f"{case}\n{verdict}: something" if failed else None,
        "when": "call",
        "sections": [],
        "duration": 0.1,
        "user_properties": [["case", case], ["verdict", verdict], ["ratio", 0.5], *map(list, properties.items())],
        "evidence": evidence,
    }


def evidence(text="LSTM"):
    wave = [[((step * unit) % 7) / 7.0 for unit in range(UNITS)] for step in range(STEPS)]
    tensor = {
        "name": text,
        "over_time": True,
        "where": text,
        "units": list(range(UNITS)),
        "ratio": 9.0,
        "wrong": 3,
        "size": 99,
    }
    return {
        "words": text,
        "keras": [text],
        "inputs": [{"name": "x", "values": wave, "mask": [step % 3 > 0 for step in range(STEPS)]}],
        "tensors": [{**tensor, "expected": wave, "actual": wave, "ratios": wave}],
        "script": text * 100,
    }


def write(file, *lines):
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return file
