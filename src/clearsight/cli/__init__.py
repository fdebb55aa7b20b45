"""The command line: `main` finds the command, each command's file holds what it does."""
