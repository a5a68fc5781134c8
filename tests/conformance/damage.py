"""Files that something happened to."""

import json
import zipfile
from contextlib import contextmanager

import h5py


def truncate(path):
    """Half of a file is gone."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def edit_weights(path, edit):
    """Edit the kernel of the LSTM in HDF5, by itself or in a .keras archive; the kernel is known by its shape."""
    if zipfile.is_zipfile(path):
        with _unpacked(path) as folder:
            _edit_hdf5(folder / "model.weights.h5", edit)
    else:
        _edit_hdf5(path, edit)


def edit_config(path, old, new):
    """Replace a word in the configuration of a model in HDF5, in a .keras archive or in JSON."""
    if path.suffix == ".json":
        path.write_text(_replaced(path.read_text(), old, new))
    elif zipfile.is_zipfile(path):
        with _unpacked(path) as folder:
            edit_config(folder / "config.json", old, new)
    else:
        with h5py.File(path, "r+") as file:
            config = file.attrs["model_config"]
            text = config.decode() if isinstance(config, bytes) else config
            file.attrs["model_config"] = _replaced(text, old, new).encode()


def _replaced(text, old, new):
    changed = text.replace(f'"{old}"', f'"{new}"')
    assert changed != text
    return json.dumps(json.loads(changed))


def _edit_hdf5(path, edit):
    with h5py.File(path, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if getattr(item, "shape", None) == KERNEL else None)
        (name,) = names
        edit(file, name)


@contextmanager
def _unpacked(path):
    """The files of an archive in a folder, from which it is packed again."""
    folder = path.parent / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    yield folder
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))


#: The shape of the kernel, which nothing else in the model has.
KERNEL = (5, 12)


def missing(file, name):
    del file[name]


def renamed(file, name):
    file.move(name, f"{name}_of_old")


def reshaped(file, name):
    """Of other units, or the matrix the other way round."""
    matrix = file[name][...].T
    del file[name]
    file[name] = matrix


#: What may happen to the kernel.
TO_WEIGHTS = {"missing": missing, "renamed": renamed, "reshaped": reshaped}

#: What may happen to the configuration: a word in it and the word that takes its place.
TO_CONFIG = {"class": ("LSTM", "LSTMM"), "argument": ("recurrent_activation", "recurrent_activatio")}
