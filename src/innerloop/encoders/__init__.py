"""Frozen encoders: pre-trained networks that turn raw pictures or texts into rows of features.

One file each; its name, with hyphens, is the encoder's name. Such a file has `ABOUT` (one line), `KIND`, `PACKAGE` (the
module that it needs, imported by `load` alone), `EXTRA` (which brings it), `CALIBRATION` and `load() -> Encoder`;
nothing needs to be registered.
"""
