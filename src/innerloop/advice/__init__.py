"""What to do with some labelled data: looked at, tried on held-out episodes, and said in ten lines.

`advise.advise` is the door. `material` reads data, `looks` counts them, `sameness` and `wrong_labels` find what is
wrong with them, `candidates` and `trials` score what could be used, `training` meta-trains briefly, `verdict`
says what follows.
"""
