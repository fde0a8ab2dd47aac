"""IDX, the files of MNIST: ``format`` is the class, beside it what it reads with."""
