"""`python -m boxless`."""

from boxless.cli import main

main()
