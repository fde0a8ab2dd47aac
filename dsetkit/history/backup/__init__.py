"""All versions at another place, and back from there.

``create``, ``verify``, ``restore`` and ``prune`` stand on ``inventory`` (what there is to keep), ``bundle`` (git's
side), ``copies`` (DVC's objects) and ``index`` (the documents of a backup).
"""
