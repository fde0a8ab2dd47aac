"""What people look at: facts, metrics, plots, one page, and cards, made from finished snapshots.

Imports go down: ``stage`` over ``page``, ``cards`` and ``numbers``, which never import each other, over ``drawing``
over ``facts`` over ``words``.
"""
