"""One module a contender: a process that does a contest's work and prints what it measured as one line of JSON."""
