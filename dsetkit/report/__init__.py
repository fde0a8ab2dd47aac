"""What people look at: facts, metrics, plots, one page, and cards, made from finished snapshots."""
