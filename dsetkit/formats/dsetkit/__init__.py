"""dsetkit's own snapshots as sources: ``format`` is the class, beside it what it reads with."""
