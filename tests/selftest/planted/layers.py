"""Subclasses of LSTM with a fault in their call, their arguments or another method."""

from planted.cells import seeing


class Call:
    """What a layer is called with, and how it would call itself."""

    def __init__(self, ops, call, layer, x, states, mask, training):
        self.ops, self.layer, self.x, self.states, self.mask = ops, layer, x, states, mask
        self._call, self._training = call, training

    def __call__(self, **other):
        given = {"initial_state": self.states, "mask": self.mask, "training": self._training, **other}
        return self._call(given.pop("sequences", self.x), **given)

    def late(self, array):
        return self.ops.concatenate([array[:, :1], array[:, :-1]], axis=1)

    def early(self, array):
        return self.ops.concatenate([array[:, 1:], array[:, -1:]], axis=1)

    def flipped(self, array):
        return self.ops.flip(array, axis=1)

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

    def zeroing(self, mask):
        """Outputs of which masked ones are zeroed afterwards."""
        self.layer.zero_output_for_mask = False
        return self.returning(lambda output: self.ops.where(mask[..., None], output, 0.0))


class Loop:
    """A loop over time written out, for a layer that is given states and a mask: what it computes and what it keeps."""

    def __init__(self, call, first=None, keeping_states=True):
        where, states = call.ops.where, call.states
        self.computed, self.outputs = [], [call.ops.zeros_like(states[0]) if first is None else first]
        for t in range(call.x.shape[1]):
            output, new_states = call.layer.cell(call.x[:, t], states)
            counts = call.mask[:, t, None]
            kept = [where(counts, new, old) for new, old in zip(new_states, states)]
            states = kept if keeping_states else new_states
            self.computed.append(output)
            self.outputs.append(where(counts, output, self.outputs[-1]))
        self.states = states
        self.sequences = call.ops.stack(self.outputs[1:], axis=1)


def states_of_masked_steps(call):
    """The mask is applied to the outputs alone."""
    loop = Loop(call, keeping_states=False)
    return (loop.sequences, *loop.states)


def h0_in_front(call):
    """H is taken for the output before."""
    loop = Loop(call, first=call.states[0])
    return (loop.sequences, *loop.states)


def last_step(call):
    """What the last step computed, whether it counts or not."""
    loop = Loop(call)
    return (loop.computed[-1], *loop.states)


def kept_from_call_to_call(call):
    """States left on the layer; a call that only builds a model has none to leave."""
    output, *states = call(initial_state=getattr(call.layer, "left", None))
    if hasattr(states[0], "numpy"):
        call.layer.left = states
    return (output, *states)


def own_states_first(call):
    """Carried states, where they are not all zero, in the place of those given."""
    ops, carried = call.ops, call.layer.states
    any_carried = ops.any(ops.not_equal(ops.concatenate(carried, axis=-1), 0.0))
    return call(initial_state=[ops.where(any_carried, own, given) for own, given in zip(carried, call.states)])


def in_float32(call):
    return call(sequences=call.ops.cast(call.ops.cast(call.x, "float32"), "float64"))


#: By fault, what the call of a layer does instead.
CALLS = {
    "mask_ignored": lambda call: call(mask=None),
    "mask_inverted": lambda call: call(mask=call.ops.logical_not(call.mask)),
    "mask_late": lambda call: call(mask=call.late(call.mask)),
    "mask_early": lambda call: call(mask=call.early(call.mask)),
    "mask_not_read_backwards": lambda call: call(mask=call.flipped(call.mask)),
    "mask_updates_states": states_of_masked_steps,
    "unmasked_with_states": lambda call: call(mask=call.mask if call.states is None else None),
    "first_output_repeats_h0": h0_in_front,
    "zeroed_in_reverse": lambda call: call.zeroing(call.mask),
    "last_zeroed": lambda call: call.zeroing(call.mask[:, -1]),
    "last_by_index": last_step,
    "inputs_late": lambda call: call(sequences=call.late(call.x)),
    "inputs_early": lambda call: call(sequences=call.early(call.x)),
    "inputs_in_float32": in_float32,
    "rows_mixed": lambda call: call(sequences=call.ops.roll(call.x, -1, axis=0)),
    "h_c_exchanged_given": lambda call: call(initial_state=call.states and call.states[::-1]),
    "h_c_exchanged_returned": lambda call: [call()[index] for index in (0, 2, 1)],
    "h0_ignored": lambda call: call(initial_state=[call.ops.zeros_like(call.states[0]), call.states[1]]),
    "c0_ignored": lambda call: call(initial_state=[call.states[0], call.ops.zeros_like(call.states[1])]),
    "initial_state_ignored": lambda call: call(initial_state=None),
    "outputs_late": lambda call: call.returning(call.late),
    "outputs_in_the_order_of_time": lambda call: call.returning(call.flipped),
    "first_for_last": lambda call: call.choosing(0),
    "last_but_one_for_last": lambda call: call.choosing(-2),
    "states_of_the_next_row": lambda call: call(initial_state=[call.ops.roll(h, -1, axis=0) for h in call.states]),
    "state_not_carried": lambda call: (call.layer.reset_state(), call())[1],
    "state_carried_over": kept_from_call_to_call,
    "carried_before_given": own_states_first,
    "dropout_at_inference": lambda call: call(training=True),
}

#: By fault, the arguments that a layer has whatever it is given.
ARGUMENTS = {
    "masked_output_zero": {"zero_output_for_mask": True},
    "masked_output_repeated": {"zero_output_for_mask": False},
    "go_backwards_ignored": {"go_backwards": False},
    "go_backwards_always": {"go_backwards": True},
    "hard_sigmoid_keras3_for_sigmoid": {"recurrent_activation": "hard_sigmoid"},
    "hard_sigmoid_keras3_for_keras2": {"recurrent_activation": "hard_sigmoid"},
    "sigmoid_for_hard_sigmoid": {"recurrent_activation": "sigmoid"},
    "sigmoid_for_hard_sigmoid_keras2": {"recurrent_activation": "sigmoid"},
}

#: By fault, other methods of a layer.
METHODS = {
    "mask_not_reversed": {"compute_mask": lambda self, inputs, mask: mask if self.return_sequences else None},
    "mask_not_handed_on": {"compute_mask": lambda self, inputs, mask: None},
    "reset_ignored": {"reset_state": lambda self: None},
}


def planted_class(subject, call=Call.__call__, arguments=(), cell=None, weights=None, methods=()):
    """A subclass of Keras's LSTM with a call, arguments, methods or a cell of its own, or weights seen otherwise."""
    ops = subject.keras.ops

    class Planted(subject.keras.layers.LSTM):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **{**kwargs, **dict(arguments)})
            if weights:
                self.cell.__class__ = seeing(type(self.cell), weights, subject)
            if cell:
                cell(self.cell, ops)

        def call(self, sequences, initial_state=None, mask=None, training=None):
            return call(Call(ops, super().call, self, sequences, initial_state, mask, training))

    for name, method in dict(methods).items():
        setattr(Planted, name, method)
    return Planted
