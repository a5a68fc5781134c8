"""What a training step's gradients cost in NumPy beside TensorFlow's eager GradientTape.

::

    python benchmarks/gradients.py       milliseconds, forwards and backwards, of the document's model, and the ratio

Both run in one process, one after the other, in float64 here and float32 there; the least of many times is taken.
"""

from __future__ import annotations

from timeit import repeat

import numpy as np

from reference_impl import LSTM, Dense, Model
from reference_impl.gradients import differentiate_model

BATCH, STEPS, UNITS, TIMES = 32, 20, 50, 30


def main() -> None:
    import tensorflow as tf

    random = np.random.RandomState(0)
    x, y = random.random_sample((BATCH, STEPS, 1)), random.random_sample((BATCH, 1))
    model = Model((LSTM(UNITS), Dense(1)))
    shapes = [shape for layer in model.weight_shapes(x.shape) for shape in layer.values()]
    weights = [0.1 * random.standard_normal(shape) for shape in shapes]
    keras = tf.keras
    theirs = keras.Sequential([keras.layers.LSTM(UNITS, input_shape=x.shape[1:]), keras.layers.Dense(1)])
    theirs.set_weights(weights)
    read, wanted = tf.constant(x, tf.float32), tf.constant(y, tf.float32)

    def numpy_step() -> None:
        run = differentiate_model(model, [x], weights)
        run.pullback((2.0 * (run.outputs[0] - y) / BATCH,))

    def eager_step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(theirs(read, training=True) - wanted))
        tape.gradient(loss, theirs.trainable_weights)

    ours, eager = (1000.0 * min(repeat(step, number=1, repeat=TIMES)) for step in (numpy_step, eager_step))
    print(f"NumPy {ours:.1f} ms, eager {eager:.1f} ms, ratio {ours / eager:.2f}")


if __name__ == "__main__":
    main()
