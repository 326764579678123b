"""What programs written for other libraries call, done by this one; nothing of those libraries is imported."""
