"""Models saved by old versions: what they are, and the program that saves them.

``python -m conformance.files`` saves each model of ``MODELS`` with the Keras that is installed, in each format it
writes, into one archive of ``fixtures/saved_models/``, and beside the archives what the models are given and must
return, as the reference computes it. An archive is of a version and is not made again.
"""

from __future__ import annotations

import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Sequence

from packaging.version import Version

from conformance.case import Case
from conformance.command import parser
from conformance.data import draw
from conformance.expected import expected_outputs
from conformance.faults import with_activation
from conformance.fixtures import FIXTURES
from conformance.subject import FLAVOURS, FORMATS, Format, Subject, load, set_weights
from reference_impl import LSTM, Bidirectional, Dense, Embedding, Model
from reference_impl.constraints import MaxNorm
from reference_impl.regularizers import L2
from reference_impl.types import Array

SAVED_MODELS = FIXTURES / "saved_models"

#: What the drawn data depend on is the id, which starts with "saved" and is never changed.
MODELS: Dict[str, Case] = {
    case.id.split("-")[1]: case
    for case in (
        Case(
            "saved-plain",
            Model(
                (
                    LSTM(
                        3,
                        activation="softsign",
                        use_bias=False,
                        go_backwards=True,
                        implementation=1,
                        kernel_regularizer=L2(0.25),
                        recurrent_constraint=MaxNorm(2.0),
                    ),
                    Dense(2),
                )
            ),
            batch=2,
            steps=4,
            features=2,
            api="sequential",
        ),
        Case(
            "saved-stack",
            Model(
                (
                    Embedding(5, 2, mask_zero=True),
                    Bidirectional(LSTM(3, return_sequences=True), merge_mode="sum"),
                    LSTM(2),
                )
            ),
            batch=3,
            steps=4,
            features=2,
            mask="right_padding",
        ),
        Case(
            "saved-states",
            Model((LSTM(2, return_sequences=True, return_state=True),)),
            batch=2,
            steps=3,
            features=2,
            initial_state=True,
        ),
        Case(
            "saved-hard_sigmoid",
            Model((LSTM(2, recurrent_activation="hard_sigmoid", stateful=True),)),
            batch=2,
            steps=3,
            features=2,
            weight_scale=4.0,
        ),
    )
}

#: Those that are saved as SavedModels too: one with a Bidirectional takes a quarter of a minute to be loaded again, and
#: a stateful one has, loaded by Keras 3, no way to be reset.
SERVED = ("plain", "states")


@dataclass(frozen=True)
class SavedModel:
    """A model that a version of Keras saved: in which format, and in which archive."""

    archive: Path
    model: str
    format_name: str

    @property
    def maker(self) -> Version:
        """The version of Keras."""
        return Version(self.archive.stem.split("-")[1])

    @property
    def id(self) -> str:
        return f"{self.archive.stem}-{self.model}-{self.format_name}"

    @property
    def format(self) -> Format:
        return FORMATS[self.format_name]

    @property
    def written(self) -> Case:
        """The case as it is written, whatever its words mean to a version."""
        return MODELS[self.model]

    @property
    def case(self) -> Case:
        """The case as the file means it: its maker's ``hard_sigmoid`` is not always the reader's."""
        return meant(self.written, self.maker)

    def unpack(self, folder: Path) -> Path:
        """Put the files of the model into a folder; returns the path it is loaded from."""
        path = folder / f"{self.model}{self.format.suffix}"
        with zipfile.ZipFile(self.archive) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if name.startswith(path.name)])
        return path


def meant(case: Case, version: Version) -> Case:
    """The case as a version of Keras documents it."""
    return case if version.major >= 3 else with_activation("hard_sigmoid", "hard_sigmoid_keras2")(case)


def saved_models() -> List[SavedModel]:
    """All that there are, those of the oldest version first."""
    found = []
    for archive in SAVED_MODELS.glob("keras-*.zip"):
        with zipfile.ZipFile(archive) as files:
            names = files.namelist()
        for model in MODELS:
            for format_name, form in FORMATS.items():
                if any(name.startswith(f"{model}{form.suffix}") for name in names):
                    found.append(SavedModel(archive, model, format_name))
    return sorted(found, key=lambda saved: (saved.maker, saved.id))


def save(subject: Subject, folder: Path) -> None:
    """Save every model in each format that the subject writes; tells which it fails to."""
    for name, case in MODELS.items():
        built = subject.build(case)
        set_weights(built.layers, draw(case).weights)
        for form in map(FORMATS.__getitem__, ways(name)):
            path = folder / f"{name}{form.suffix}"
            try:
                if not form.unwritten(subject.keras):
                    form.save(subject.keras, built.model, path)
            except Exception as error:  # a version may be unable to, and what it left is no file of the past
                path.unlink()
                logging.getLogger(__name__).warning("%s is not saved: %s", path.name, error)


def ways(model: str) -> List[str]:
    """The formats that a model is saved in."""
    return [name for name in FORMATS if name != "savedmodel" or model in SERVED]


def archive(folder: Path, path: Path) -> None:
    """Pack a folder: HDF5 files and SavedModels are mostly zeros and repetitions."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as files:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.name != "checkpoint":  # which names the last one saved, with its path
                files.write(file, file.relative_to(folder))


def figures(case: Case) -> Dict[str, Any]:
    """What the calls of a case are given, and what they must return."""
    data = draw(case)
    given = [{"x": _listed(call.x), "states": _listed(call.states)} for call in data.calls]
    returned = {name: estimate.value.tolist() for name, estimate in expected_outputs(case, data).items()}
    return {"calls": given, "outputs": returned}


def _listed(arrays: Sequence[Array]) -> List[Any]:
    return [array.tolist() for array in arrays]


def main() -> None:
    parser("conformance.files", __doc__).parse_args()
    subject = load(next(iter(FLAVOURS)))
    with TemporaryDirectory() as folder:
        save(subject, Path(folder))
        SAVED_MODELS.mkdir(exist_ok=True)
        archive(Path(folder), SAVED_MODELS / f"keras-{subject.version}.zip")
    generation = f"keras-{subject.generation}"
    expected = {name: figures(meant(case, Version(subject.version))) for name, case in MODELS.items()}
    (SAVED_MODELS / f"{generation}.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
