"""The page: one HTML file.

``build`` puts the sections together: those with pictures (``gallery``, ``change``, ``variants``, ``clusters``,
``rejected``) over ``choice`` and ``tile``, which draws a sample within a ``budget``; those with numbers (``charts``,
``trust``) over ``flow``. All read by way of ``reading``; ``html`` is the way to the templates.
"""
