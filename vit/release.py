"""Which release of the project this is."""

VERSION = "0.5.0"
