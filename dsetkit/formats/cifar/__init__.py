"""CIFAR-10 and CIFAR-100: ``format`` is the class, beside it what it reads with."""
