"""The command line: a command is a library call, in the group of what a person does."""
