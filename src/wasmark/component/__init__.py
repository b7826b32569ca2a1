"""The component model: what a component is, its two formats, its validation, and how it runs.

Rooms depend in one direction, as those of modules do: `types`, `model` <- `binary`, `text` <- `validate` <-
`instantiate`.
"""
