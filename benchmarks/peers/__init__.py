"""Other libraries, each at its documented best; one module each, imported by nobody but a child process."""
