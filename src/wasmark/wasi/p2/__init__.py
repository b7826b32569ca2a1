"""WASI 0.2: what command-line programs that are components import.

Functions are written over names: they take and give the labels that the interfaces have (`"no-entry"`), and the types
themselves come from the component. A class is a resource. `interfaces.py` has the table of all of them.
"""
