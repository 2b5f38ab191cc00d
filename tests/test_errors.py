"""What a program prints arrives, whatever the terminal can show."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("latin-1", b"caf\xe9 \\u732b \\U0001f431 \xff\n"),
        ("ascii", b"caf\\xe9 \\u732b \\U0001f431 \xff\n"),
        ("utf-8", "café 猫 🐱 ".encode() + b"\xff\n"),
    ],
)
def test_a_character_that_the_terminal_lacks_is_escaped_and_a_file_name_keeps_its_bytes(encoding, shown):
    text = "café 猫 🐱 \udcff"  # the last as Python reads a byte of a file name that is not UTF-8
    code = f"import sys; from vit.errors import run_program; run_program(lambda: print({text!a}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, b"")


def test_the_trace_of_an_unexpected_error_hides_secrets():
    code = "from vit.errors import run_program; run_program(lambda: open('http://me:pw@host/'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert done.stderr.endswith("No such file or directory: 'http://***@host/'\n")
