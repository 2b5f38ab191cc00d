"""The project's version; CHANGELOG.md lists the changes of each."""

VERSION = "0.5.0"
