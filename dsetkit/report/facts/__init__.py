"""What is true of snapshots, counted in columns: ``collect`` over ``columns`` and ``rejected`` over ``histograms``."""
