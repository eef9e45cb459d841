"""What ``plugins check`` checks: a plugin as a whole, and each stage that it provides."""
