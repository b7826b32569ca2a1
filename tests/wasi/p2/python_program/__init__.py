"""A command in Python, for `componentize-py`: `app.py` is the component, `probe.py` what it does with files, which the
tests let Python do outside as well."""
