"""What Keras is told once for all layers, told for a while."""

from contextlib import contextmanager


@contextmanager
def for_a_while(get, put, value):
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


def global_policy(subject, name):
    """The policy of layers that are given none."""
    mixed_precision = subject.keras.mixed_precision
    return for_a_while(mixed_precision.global_policy, mixed_precision.set_global_policy, name)


@contextmanager
def floatx(subject, name):
    """What numbers are where nothing else is said, from a session begun after it was said."""
    backend = subject.keras.backend
    try:
        with for_a_while(backend.floatx, backend.set_floatx, name):
            backend.clear_session()
            if subject.generation == 2 and subject.has_mixed_policies:
                subject.keras.mixed_precision.set_global_policy(None)  # there may be one from before
            yield
    finally:
        backend.clear_session()
