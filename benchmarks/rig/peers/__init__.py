"""The ways to send: each module has ``opened``, which makes ready what it needs and gives what delivers."""
