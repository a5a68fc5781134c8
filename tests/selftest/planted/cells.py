"""Cells with a fault: other weights than they hold, other activations, other formats."""

from itertools import permutations

import numpy as np

from reference_impl.rounding import round_to

NAMES = ("kernel", "recurrent_kernel", "bias")


def gates(change, array):
    return np.concatenate([change(gate) for gate in np.split(array, 4, axis=-1)], axis=-1)


def transposed(gate):
    return gate.T.ravel().reshape(gate.shape) if gate.shape[0] == gate.shape[1] else gate.reshape(gate.shape[::-1]).T


def in_order(order):
    return lambda *weights: [
        np.concatenate([np.split(weight, 4, axis=-1)[order.index(gate)] for gate in "ifco"], axis=-1)
        for weight in weights
    ]


def veltkamp(x):
    """The nearest numbers with 13 bits less, as two multiplications and two subtractions give them."""
    large = x * np.float32(2**13 + 1)
    return large - (large - x)


#: The forget gate's bias in a cell of three units.
FORGET = np.repeat([0.0, 1.0, 0.0, 0.0], 3)

#: By fault, what a cell sees of its kernel, its recurrent kernel and its bias.
WEIGHTS = {
    **{f"gates_{''.join(order)}": in_order(order) for order in permutations("ifco") if order != tuple("ifco")},
    "kernel_transposed": lambda k, r, b: [gates(transposed, k), r, b],
    "recurrent_kernel_transposed": lambda k, r, b: [k, gates(transposed, r), b],
    "kernel_rows_reversed": lambda k, r, b: [k[::-1], r, b],
    "recurrent_kernel_rows_reversed": lambda k, r, b: [k, r[::-1], b],
    "recurrent_kernel_ignored": lambda k, r, b: [k, 0.0 * r, b],
    "bias_missing": lambda k, r, b: [k, r, 0.0 * b],
    "bias_twice": lambda k, r, b: [k, r, b + b],
    "forget_bias_again": lambda k, r, b: [k, r, b + FORGET],
    "forget_bias_missing": lambda k, r, b: [k, r, b * (1.0 - FORGET)],
    "products_in_bfloat16": lambda k, r, b: [round_to(k, "bfloat16"), round_to(r, "bfloat16"), b],
    "products_in_float16": lambda k, r, b: [round_to(k, "float16"), round_to(r, "float16"), b],
    "products_in_tf32": lambda k, r, b: [veltkamp(k), veltkamp(r), b],
}


def seeing(cell, change, subject):
    """The class of a cell that computes with other weights than it holds."""

    def changed(index):
        def read(self):
            if not all(f"held_{name}" in self.__dict__ for name in NAMES):
                raise AttributeError(NAMES[index])
            with subject.tensorflow.init_scope():
                held = [np.asarray(self.__dict__[f"held_{name}"]) for name in NAMES]
            return subject.tensors(np.ascontiguousarray(change(*held)[index], "float32"))

        return read

    def holding(name):
        return lambda self, value: self.__dict__.update({f"held_{name}": value})

    own = {name: property(changed(index), holding(name)) for index, name in enumerate(NAMES)}
    return type(f"Seeing{cell.__name__}", (cell,), own)


def fused(candidate, output=None):
    """A cell whose candidate goes through another function, and its carry too where ``output`` is given."""

    def change(cell, ops):
        gate, own = cell.recurrent_activation, cell.activation

        def carry_and_output(z, c):
            z_i, z_f, z_c, z_o = z
            return gate(z_f) * c + gate(z_i) * candidate(cell, own)(z_c), gate(z_o)

        cell._compute_carry_and_output_fused = carry_and_output
        cell.activation = output or own

    return change


def identity(x):
    return x


def exchanged(cell, ops):
    cell.activation, cell.recurrent_activation = cell.recurrent_activation, cell.activation


def input_gate_in_place(cell, ops):
    """The candidate is read from the first quarter of the sums."""
    gate = cell.recurrent_activation

    def carry_and_output(z, c):
        z_i, z_f, _, z_o = z
        return gate(z_f) * c + gate(z_i) * z_i, gate(z_o)

    cell._compute_carry_and_output_fused = carry_and_output


def gates_of(function):
    def change(cell, ops):
        cell.recurrent_activation = lambda z: function(z, ops)

    return change


def activation_of(function):
    def change(cell, ops):
        cell.activation = lambda z: function(z, ops)

    return change


def hard_sigmoid_keras2(z, ops):
    return ops.clip(0.2 * z + 0.5, 0.0, 1.0)


def sparsemax_of_summed_sums(z, ops):
    """The threshold takes the sum where it should take the last one that is not zero."""
    descending = ops.flip(ops.sort(z, axis=-1), axis=-1)
    sums = ops.cumsum(descending, axis=-1)
    rank = ops.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    support = ops.cast(1.0 + rank * descending > sums, z.dtype)
    threshold = (ops.sum(sums * support, axis=-1, keepdims=True) - 1.0) / ops.sum(support, axis=-1, keepdims=True)
    return ops.relu(z - threshold)


def rational_tanh(x, ops):
    """As fast kernels have it."""
    x = ops.clip(x, -3.0, 3.0)
    return x * (27.0 + x * x) / (27.0 + 9.0 * x * x)


def in_format(dtype):
    return lambda x, ops: ops.cast(ops.cast(x, dtype), "float32")


def carry_kept_in(dtype):
    def change(cell, ops):
        call, low = cell.call, in_format(dtype)

        def rounding(inputs, states, **given):
            h, (_, c) = call(inputs, states, **given)
            return h, [h, low(c, ops)]

        cell.call = rounding

    return change


def reading(inputs=lambda x, ops: x, h=lambda x, ops: x):
    """A cell that reads other inputs or another h; nothing but the products reads them."""

    def change(cell, ops):
        call = cell.call

        def reading(x, states, **given):
            return call(inputs(x, ops), [h(states[0], ops), states[1]], **given)

        cell.call = reading

    return change


def products_of(low):
    """Operands rounded, those that are no weights."""
    return reading(low, low)


def inputs_scaled(cell, ops):
    reading(inputs=lambda x, ops: (1.0 - cell.dropout) * x)(cell, ops)


def states_scaled(cell, ops):
    reading(h=lambda h, ops: (1.0 - cell.recurrent_dropout) * h)(cell, ops)


#: By fault, what is done to a cell.
CELLS = {
    "candidate_not_activated": fused(lambda cell, own: identity),
    "candidate_activated_as_gate": fused(lambda cell, own: cell.recurrent_activation),
    "output_not_activated": fused(lambda cell, own: own, identity),
    "activations_exchanged": exchanged,
    "input_gate_for_candidate": input_gate_in_place,
    "hard_sigmoid_keras2_for_sigmoid": gates_of(hard_sigmoid_keras2),
    "hard_sigmoid_keras2_for_keras3": gates_of(hard_sigmoid_keras2),
    "sparsemax_of_summed_sums": activation_of(sparsemax_of_summed_sums),
    "tanh_of_low_accuracy": activation_of(rational_tanh),
    "sigmoid_of_low_accuracy": gates_of(lambda z, ops: 0.5 + 0.5 * rational_tanh(0.5 * z, ops)),
    "inputs_scaled_by_keep_rate": inputs_scaled,
    "states_scaled_by_keep_rate": states_scaled,
    "carry_in_bfloat16": carry_kept_in("bfloat16"),
    "carry_in_float16": carry_kept_in("float16"),
    "products_in_bfloat16": products_of(in_format("bfloat16")),
    "products_in_float16": products_of(in_format("float16")),
    "products_in_tf32": products_of(lambda x, ops: veltkamp(x)),
}
