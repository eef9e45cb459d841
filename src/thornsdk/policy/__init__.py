"""Pure policy: decisions without input, output or a clock of their own."""
