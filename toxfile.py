"""A tox plugin: where an environment's Python is missing, say how to get it; the label ``matrix`` resumes."""

import logging
import shutil
from functools import lru_cache

from tox.config.sets import EnvConfigSet
from tox.plugin import impl
from tox.session.state import State


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    for python in env_conf["base_python"]:
        if python.startswith("python3."):
            _warn_if_missing(python)
    if "matrix" in getattr(state.conf.options, "labels", []):
        env_conf["set_env"].update({"RESUME": "--resume"})  # read in tox.ini


@lru_cache(maxsize=None)  # once for all the environments that need it
def _warn_if_missing(python: str) -> None:
    if not shutil.which(python):
        version = python[len("python") :]
        logging.warning(
            "%s is not on PATH: what needs it is skipped unless uv can download it; `uv python install %s` gets it, or "
            "`pyenv install %s` with the bin folder of that version put on PATH",
            python,
            version,
            version,
        )
