"""Lifelong learning: a learner on a stream, measured for what it keeps of what came before."""
