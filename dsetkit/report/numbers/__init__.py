"""What ``dvc metrics`` and ``dvc plots`` show: ``metrics`` and ``plots`` over ``names``."""
