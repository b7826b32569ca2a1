"""The process that the damaged components are let loose in: `python -m tests.component.damaged FIRST COUNT`.

Every seed makes a component, which is decoded, printed, read again, validated and, where it is still valid, compiled
and instantiated. Whatever is no `wasmark.Error` ends the process with the seed. It prints what happened how often, as
JSON.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Final

import wasmark
from tests.fuzz.mutate import damage
from wasmark.component.binary import decode_component, encode_component
from wasmark.component.text import parse_component
from wasmark.component.text.printer import print_component
from wasmark.component.validate import validate_component
from wasmark.validate import TypeRegistry

COMPONENTS: Final = sorted((Path(__file__).parent / "components").glob("*.wat"))


def corpus() -> list[bytes]:
    """The sound components that get damaged."""
    return [encode_component(parse_component(path.read_text())) for path in COMPONENTS]


def damaged(seed: int, sound: list[bytes]) -> bytes:
    """The component of a seed."""
    source = random.Random(seed)
    return damage(source.choice(sound), source, source.choice(sound))


class Worker:
    """Takes one component after the other, and counts what came of it."""

    def __init__(self) -> None:
        config = wasmark.Config(strategy="baseline", cache=False, max_memory_bytes=16 << 20)
        self.engine = wasmark.Engine(config)
        self.counts: Counter[str] = Counter()

    def run(self, data: bytes) -> None:
        """Raises only what should never come out."""
        try:
            model = decode_component(data)
        except wasmark.Error as error:
            self.counts[f"decoding: {type(error).__name__}"] += 1
            return
        self.print(data)
        try:
            validate_component(model, TypeRegistry())
        except wasmark.Error as error:
            self.counts[f"validation: {type(error).__name__}"] += 1
            return
        self.counts["valid"] += 1
        try:
            component = wasmark.Component(data, self.engine)
            wasmark.ComponentInstance(component, {}, wasmark.Store(self.engine))
        except wasmark.Error as error:
            self.counts[f"instantiation: {type(error).__name__}"] += 1
        else:
            self.counts["instantiated"] += 1

    def print(self, data: bytes) -> None:
        """A component that can be printed is the same behind it, but for the length of its encoding."""
        try:
            text = "".join(print_component(decode_component(data)))
        except wasmark.Error as error:  # a body that cannot be decoded
            self.counts[f"printing: {type(error).__name__}"] += 1
            return
        again = encode_component(parse_component(text))
        assert "".join(print_component(decode_component(again))) == text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    args = parser.parse_args()
    worker = Worker()
    sound = corpus()
    for data in sound:
        worker.run(data)
    assert worker.counts["valid"] == len(sound)
    for seed in range(args.first, args.first + args.count):
        try:
            worker.run(damaged(seed, sound))
        except BaseException as error:
            error.add_note(f"the seed is {seed}")
            raise
    print(json.dumps(worker.counts))


if __name__ == "__main__":
    main()
