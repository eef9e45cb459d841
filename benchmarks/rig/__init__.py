"""What the benchmarks of Celery have in common: a receiver, a broker, workers."""
