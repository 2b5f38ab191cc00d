"""The version of the project; CHANGELOG.md says what each one brought."""

VERSION = "0.5.0"
