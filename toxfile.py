"""A tox plugin of one line: where an environment's Python is missing, how to get it."""

import logging
import shutil

from tox.config.sets import EnvConfigSet
from tox.plugin import impl
from tox.session.state import State


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    """Warn before tox tries; uv downloads a missing Python where it can, and tox skips the environment otherwise."""
    for python in env_conf["base_python"]:
        version = python.replace("python", "")
        if python.startswith("python3.") and not shutil.which(python):
            logging.warning(
                "%s: %s is not on PATH; `uv python install %s` gets it, or pyenv (then put its bin folder on PATH)",
                env_conf.name,
                python,
                version,
            )
