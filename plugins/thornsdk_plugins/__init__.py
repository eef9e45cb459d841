"""The built-in plugins. They come in by the same door as a stranger's: entry points and public names."""
