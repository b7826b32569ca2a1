"""10,000 damaged components (`WASMARK_LONG=1`; fewer without it) each end in a `wasmark.Error`, or are still valid: no
crash, no other exception."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

from tests.component.damaged import COMPONENTS, corpus
from wasmark.component.binary import decode_component, encode_component
from wasmark.component.model import Definition, NestedComponent
from wasmark.component.validate import validate_component
from wasmark.errors import MalformedError
from wasmark.validate import TypeRegistry

ROOT = Path(__file__).parents[2]
COUNT = 10_000 if os.environ.get("WASMARK_LONG") else 800
"""A failure names its seed: `python -m tests.component.damaged SEED 1` shows it again."""


def test_damaged_components_end_in_an_error_of_ours_or_are_valid() -> None:
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.component.damaged", "0", str(COUNT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    counts = json.loads(done.stdout)
    outcomes = ("decoding", "validation", "valid")
    assert sum(count for what, count in counts.items() if what.startswith(outcomes)) == COUNT + len(COMPONENTS)
    # There is damage that gets as far as each of the rooms.
    for room in ("decoding: MalformedError", "validation: InvalidError", "valid", "instantiated"):
        assert counts[room] > COUNT // 100, room


def test_what_gets_damaged_is_sound_and_uses_every_kind_of_definition() -> None:
    kinds = set()
    for binary in corpus():
        model = decode_component(binary)
        assert encode_component(model) == binary
        validate_component(model, TypeRegistry())
        waiting = [model]
        while waiting:
            definitions = waiting.pop().definitions
            kinds |= set(map(type, definitions))
            waiting += [each.model for each in definitions if isinstance(each, NestedComponent)]
    assert kinds == set(get_args(Definition))


def test_each_prefix_of_a_component_is_whole_sections_or_malformed() -> None:
    offsets = set()
    for binary in corpus():
        for end in range(8, len(binary), 5):
            try:
                model = decode_component(binary[:end])
            except MalformedError as error:
                offsets.add(error.offset)
            else:
                assert encode_component(model) == binary[:end]
    assert None not in offsets
    assert len(offsets) > 100
