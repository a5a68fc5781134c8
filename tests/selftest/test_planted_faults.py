"""Keras layers that each have a fault, as somebody might write them, are told which."""

import sys
from functools import partial
from itertools import permutations

import numpy as np
import pytest

from conformance import space
from conformance.judge import judge
from conformance.report.terminal import render
from conformance.subject import Subject
from reference_impl.rounding import round_to

NAMES = ("kernel", "recurrent_kernel", "bias")


class Operations:
    """The few operations the wrong layers need, of whichever Keras."""

    def __init__(self, subject):
        ops = getattr(subject.keras, "ops", None) or subject.tensorflow
        self.zeros_like, self.not_, self.cast = ops.zeros_like, ops.logical_not, ops.cast
        self.concat = getattr(ops, "concatenate", None) or ops.concat
        self.flip = (lambda x: ops.flip(x, axis=1)) if hasattr(ops, "flip") else (lambda x: ops.reverse(x, [1]))

    def next_row(self, array):
        return self.concat([array[1:], array[:1]], 0)

    def rounded(self, x, dtype):
        return self.cast(self.cast(x, dtype), "float32")


class Call:
    """What a layer is called with, and how it would call itself."""

    def __init__(self, ops, call, layer, x, states, mask, training):
        self.ops, self.layer, self.x, self.states, self.mask = ops, layer, x, states, mask
        self._call, self._training = call, training

    def __call__(self, **other):
        given = {"sequences": self.x, "initial_state": self.states, "mask": self.mask, **other}
        return self._call(given.pop("sequences"), training=self._training, **given)

    def late(self, array):
        return self.ops.concat([array[:, :1], array[:, :-1]], 1)

    def early(self, array):
        return self.ops.concat([array[:, 1:], array[:, -1:]], 1)

    def returning(self, change):
        """What the layer returns, with its output changed."""
        done = self()
        return [change(done[0]), *done[1:]] if isinstance(done, (list, tuple)) else change(done)

    def choosing(self, step):
        """One of all outputs in the place of the last."""
        self.layer.return_sequences = True
        done = self()
        self.layer.return_sequences = False
        return done[:, step]


#: By fault, what the call of a layer does instead.
CALLS = {
    "mask_ignored": lambda call: call(mask=None),
    "mask_inverted": lambda call: call(mask=call.ops.not_(call.mask)),
    "mask_late": lambda call: call(mask=call.late(call.mask)),
    "mask_early": lambda call: call(mask=call.early(call.mask)),
    "mask_not_read_backwards": lambda call: call(mask=call.ops.flip(call.mask)),
    "inputs_late": lambda call: call(sequences=call.late(call.x)),
    "inputs_early": lambda call: call(sequences=call.early(call.x)),
    "h_c_exchanged_given": lambda call: call(initial_state=call.states and call.states[::-1]),
    "h_c_exchanged_returned": lambda call: [call()[index] for index in (0, 2, 1)],
    "h0_ignored": lambda call: call(initial_state=[call.ops.zeros_like(call.states[0]), call.states[1]]),
    "c0_ignored": lambda call: call(initial_state=[call.states[0], call.ops.zeros_like(call.states[1])]),
    "initial_state_ignored": lambda call: call(initial_state=None),
    "outputs_late": lambda call: call.returning(call.late),
    "outputs_in_the_order_of_time": lambda call: call.returning(call.ops.flip),
    "first_for_last": lambda call: call.choosing(0),
    "last_but_one_for_last": lambda call: call.choosing(-2),
    "states_of_the_next_row": lambda call: call(initial_state=[call.ops.next_row(state) for state in call.states]),
    "state_not_carried": lambda call: (call.layer.reset_state(), call())[1],
}


def gates(change, array):
    return np.concatenate([change(gate) for gate in np.split(array, 4, axis=-1)], axis=-1)


def transposed(gate):
    return gate.T.ravel().reshape(gate.shape) if gate.shape[0] == gate.shape[1] else gate.reshape(gate.shape[::-1]).T


def in_order(order):
    return lambda *weights: [
        np.concatenate([np.split(weight, 4, axis=-1)[order.index(gate)] for gate in "ifco"], axis=-1)
        for weight in weights
    ]


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
}


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


def carry_kept_in(dtype):
    def change(cell, ops):
        call = cell.call

        def rounding(inputs, states, **given):
            h, (_, c) = call(inputs, states, **given)
            return h, [h, ops.rounded(c, dtype)]

        cell.call = rounding

    return change


def products_of(dtype):
    """Operands rounded; nothing else reads x and h in this cell."""

    def change(cell, ops):
        call = cell.call

        def rounding(inputs, states, **given):
            h, c = states
            return call(ops.rounded(inputs, dtype), [ops.rounded(h, dtype), c], **given)

        cell.call = rounding

    return change


#: By fault, what is done to a cell.
CELLS = {
    "candidate_not_activated": fused(lambda cell, own: identity),
    "candidate_activated_as_gate": fused(lambda cell, own: cell.recurrent_activation),
    "output_not_activated": fused(lambda cell, own: own, identity),
    "activations_exchanged": exchanged,
    "carry_in_bfloat16": carry_kept_in("bfloat16"),
    "carry_in_float16": carry_kept_in("float16"),
    "products_in_bfloat16": products_of("bfloat16"),
    "products_in_float16": products_of("float16"),
}

#: By fault, the arguments that a layer has whatever it is given.
ARGUMENTS = {
    "masked_output_zero": {"zero_output_for_mask": True},
    "masked_output_repeated": {"zero_output_for_mask": False},
    "go_backwards_ignored": {"go_backwards": False},
    "go_backwards_always": {"go_backwards": True},
    "hard_sigmoid_keras3_for_sigmoid": {"recurrent_activation": "hard_sigmoid"},
    "sigmoid_for_hard_sigmoid": {"recurrent_activation": "sigmoid"},
}

PLAIN = "lstm-B3-T4-D2-functional-call-U3-{}"
MASKED = "lstm-B3-T4-D2-right_padding-initial_state-functional-call-mask_argument-U3-{}"

#: The case of a fault where it is not the one with everything.
CASES = {
    "mask_not_read_backwards": MASKED.format("sequences_state-backwards"),
    "masked_output_repeated": MASKED.format("sequences_state-zero_output"),
    "go_backwards_ignored": MASKED.format("sequences_state-backwards"),
    "outputs_in_the_order_of_time": PLAIN.format("sequences-backwards"),
    "first_for_last": PLAIN.format("last"),
    "last_but_one_for_last": PLAIN.format("last"),
    "sigmoid_for_hard_sigmoid": "lstm-B3-T4-D2-functional-call-U3-hard_sigmoid_gates-sequences",
    "state_not_carried": PLAIN.format("sequences_state-stateful"),
}


@pytest.fixture
def plant(subject):
    """A subject whose LSTM is a subclass: with a call, arguments or a cell of its own, or weights seen otherwise."""

    def plant(call=Call.__call__, arguments=(), cell=None, weights=None):
        ops = Operations(subject)

        class Planted(subject.keras.layers.LSTM):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **{**kwargs, **dict(arguments)})
                if weights:
                    self.cell.__class__ = seeing(type(self.cell), weights, subject)
                if cell:
                    cell(self.cell, ops)

            def call(self, sequences, initial_state=None, mask=None, training=None):
                return call(Call(ops, super().call, self, sequences, initial_state, mask, training))

        return Subject(subject.flavour, subject.keras, Planted, "planted")

    return plant


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


KINDS = {"weights": WEIGHTS, "call": CALLS, "cell": CELLS, "arguments": ARGUMENTS}


@pytest.fixture
def diagnosed(subject, plant):
    """What is found of faults planted in one layer, by the case of the first that has one of its own."""
    if subject.generation < 3:
        pytest.skip("the layers are written for Keras 3")

    def diagnosed(*faults):
        planted = plant(**{kind: known[fault] for kind, known in KINDS.items() for fault in faults if fault in known})
        case_id = next((CASES[fault] for fault in faults if fault in CASES), MASKED.format("sequences_state"))
        judgement = judge(space.case(case_id), planted)
        assert judgement.verdict == "diverges"
        assert judgement.raised is None, judgement.raised
        return judgement.diagnosis.explanations

    return diagnosed


@pytest.mark.parametrize("fault", dict.fromkeys([*WEIGHTS, *CALLS, *CELLS, *ARGUMENTS]))
def test_planted_fault_is_named(fault, diagnosed):
    assert (fault,) in diagnosed(fault)


PAIRS = (
    ("gates_ifoc", "mask_ignored"),
    ("gates_iofc", "h_c_exchanged_given"),
    ("gates_ifoc", "candidate_not_activated"),
    ("bias_missing", "mask_late"),
    ("bias_twice", "h0_ignored"),
    ("kernel_rows_reversed", "go_backwards_always"),
    ("recurrent_kernel_transposed", "masked_output_zero"),
    ("forget_bias_again", "c0_ignored"),
    ("candidate_not_activated", "mask_inverted"),
    ("output_not_activated", "initial_state_ignored"),
    ("hard_sigmoid_keras3_for_sigmoid", "inputs_late"),
)


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_planted_pair_is_named(pair, diagnosed):
    assert {frozenset(pair)} & set(map(frozenset, diagnosed(*pair)))


class Other:
    """A module of operations of which some are others."""

    def __init__(self, module, **operations):
        self.__dict__.update(operations)
        self._module = module

    def __getattr__(self, name):
        return getattr(self._module, name)


def merging_by(mode):
    def wrong(plant, layers, module):
        made = layers.Bidirectional.__init__

        def init(self, *args, **kwargs):
            made(self, *args, **kwargs)
            self.merge_mode = mode

        plant(layers.Bidirectional, "__init__", init)

    return wrong


def cells_exchanged(plant, layers, module):
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


def states_exchanged(plant, layers, module):
    called = layers.Bidirectional.call

    def call(self, sequences, initial_state=None, **given):
        states = initial_state and [*initial_state[2:], *initial_state[:2]]
        return called(self, sequences, initial_state=states, **given)

    plant(layers.Bidirectional, "call", call)


def never_turned(plant, layers, module):
    plant(module, "ops", Other(module.ops, flip=lambda x, axis: x))


def joined_the_other_way_round(plant, layers, module):
    concatenate = module.ops.concatenate
    plant(module, "ops", Other(module.ops, concatenate=lambda outputs, axis: concatenate(outputs[::-1], axis=axis)))


#: By fault, what is done to Keras's own Bidirectional.
BIDIRECTIONAL = {
    "merged_by_mul": merging_by("mul"),
    "merged_by_ave": merging_by("ave"),
    "halves_exchanged": cells_exchanged,
    "states_of_halves_exchanged": states_exchanged,
    "backward_output_not_turned": never_turned,
    "outputs_of_halves_exchanged": joined_the_other_way_round,
}


@pytest.mark.parametrize("fault", BIDIRECTIONAL)
def test_fault_planted_in_bidirectional_is_named(fault, subject, monkeypatch):
    if subject.generation < 3:
        pytest.skip("the patches are written for Keras 3")
    layers = subject.keras.layers
    BIDIRECTIONAL[fault](monkeypatch.setattr, layers, sys.modules[layers.Bidirectional.__module__])
    merge = "-sum" if fault.startswith("merged") else ""
    case_id = f"bidirectional-B3-T4-D2-initial_state-functional-call-U3-sequences_state{merge}"
    judgement = judge(space.case(case_id), subject)
    assert judgement.raised is None, judgement.raised
    assert (fault,) in judgement.diagnosis.explanations
    if fault == "backward_output_not_turned":
        assert "first [batch row 0, time step 0, backward unit 0]" in render(judgement, "")
