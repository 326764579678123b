"""What is installed: wheel and sdist, and every verb where extras are missing."""
