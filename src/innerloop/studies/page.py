"""placeholder"""


def write_page(study, result):
    return None
