"""The parts of the fault runs: a receiver that can be in trouble, brokers that restart, workers to kill."""
