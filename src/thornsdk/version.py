"""The version of thornsdk."""

VERSION = "0.1.0"
