"""What stands on a page without words: ``charts`` over ``svg``, labels (``overlay``) over small ``pictures``."""
