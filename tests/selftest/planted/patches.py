"""Faults of Keras's own classes, patched in: ``plant`` is ``monkeypatch.setattr``, ``layers`` is ``keras.layers``."""

import sys
from functools import partial

from planted.cells import NAMES


class Other:
    """A module of operations of which some are others."""

    def __init__(self, module, **operations):
        self.__dict__.update(operations)
        self._module = module

    def __getattr__(self, name):
        return getattr(self._module, name)


def with_operations(layer, change):
    """The operations that the module of a layer calls, some of them changed."""

    def wrong(plant, layers):
        module = sys.modules[getattr(layers, layer).__module__]
        plant(module, "ops", Other(module.ops, **change(module.ops)))

    return wrong


def made_with(change):
    """A Bidirectional to which something is done when it has been made."""

    def wrong(plant, layers):
        made = layers.Bidirectional.__init__

        def init(self, *args, **kwargs):
            made(self, *args, **kwargs)
            change(self)

        plant(layers.Bidirectional, "__init__", init)

    return wrong


def merging_by(mode):
    return made_with(lambda layer: setattr(layer, "merge_mode", mode))


def both_forwards(layer):
    layer.backward_layer.go_backwards = layer.forward_layer.go_backwards


def around_call(change):
    """A Bidirectional that calls itself otherwise."""

    def wrong(plant, layers):
        called = layers.Bidirectional.call

        def call(self, sequences, initial_state=None, **given):
            return change(partial(called, self, sequences, **given), initial_state)

        plant(layers.Bidirectional, "call", call)

    return wrong


def states_exchanged(call, states):
    return call(initial_state=states and [*states[2:], *states[:2]])


def returned_states_exchanged(call, states):
    output, *after = call(initial_state=states)
    return (output, *after[2:], *after[:2])


def cells_exchanged(plant, layers):
    built = layers.Bidirectional.build

    def build(self, sequences_shape, initial_state_shape=None):  # Keras reads the names of these arguments
        built(self, sequences_shape, initial_state_shape)
        forward, backward = self.forward_layer.cell, self.backward_layer.cell
        for cell, other in ((forward, backward), (backward, forward)):
            cell.call = partial(type(cell).call, SeenFrom(cell, other))

    plant(layers.Bidirectional, "build", build)


class SeenFrom:
    """A cell whose weights are another's."""

    def __init__(self, cell, other):
        self._cell, self._other = cell, other

    def __getattr__(self, name):
        return getattr(self._other if name in NAMES else self._cell, name)


def never_turned(ops):
    return {"flip": lambda x, axis: x}


def joined_the_other_way_round(ops):
    return {"concatenate": lambda outputs, axis: ops.concatenate(outputs[::-1], axis=axis)}


def sums_in(dtype):
    def change(ops):
        def matmul(x, y):
            return ops.cast(ops.cast(ops.matmul(x, y), dtype), "float32")

        return {"matmul": matmul}

    return with_operations("LSTM", change)


def mask_of_slices(plant, layers):
    called = layers.TimeDistributed.call
    ops = sys.modules[layers.TimeDistributed.__module__].ops

    def call(self, inputs, training=None, mask=None):
        outputs = called(self, inputs, training=training)
        held = [ops.zeros_like(outputs[:, 0])]
        for number in range(outputs.shape[1]):
            held.append(ops.where(mask[:, number, :, None], outputs[:, number], held[-1]))
        return ops.stack(held[1:], axis=1)

    plant(layers.TimeDistributed, "call", call)


#: By fault, what is done to Keras.
PATCHES = {
    "sums_in_bfloat16": sums_in("bfloat16"),
    "sums_in_float16": sums_in("float16"),
    "mask_of_slices": mask_of_slices,
    "halves_exchanged": cells_exchanged,
    "states_of_halves_exchanged": around_call(states_exchanged),
    "outputs_of_halves_exchanged": with_operations("Bidirectional", joined_the_other_way_round),
    "returned_states_of_halves_exchanged": around_call(returned_states_exchanged),
    "backward_output_not_turned": with_operations("Bidirectional", never_turned),
    "backward_reads_forwards": made_with(both_forwards),
    **{f"merged_by_{mode}": merging_by(mode) for mode in ("sum", "mul", "ave", "concat")},
}
