"""The harness: from a case to a verdict.

::

    case ─┬─► expected  (reference_impl) ──► values + tolerance ─┐
          └─► subject   (Keras)          ──► observation ────────┴─► judge ─► report
"""

__version__ = "0.1.0"
