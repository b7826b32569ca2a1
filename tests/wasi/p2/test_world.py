"""What else a component is told, and asks for: arguments, environment, terminals, random bytes, logging, sockets, its
end; and how versions match."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest

from tests.wasi.conftest import host_descriptors
from tests.wasi.guest import quiet
from tests.wasi.p2 import worlds
from tests.wasi.p2.forwarding import binary
from tests.wasi.p2.guest import READ_WRITE, Guest, component, error_of
from wasmark import Component, ComponentLinker, ComponentTrap, Exit, LinkError, Trap
from wasmark.wasi import Preopen


def test_arguments_and_environment() -> None:
    guest = Guest(args=["prog", "ä", "", b"\xff"], env={"A": "1=2", "EMPTY": ""})
    assert guest.get_arguments() == ["prog", "ä", "", "\ufffd"]
    assert guest.get_environment() == [("A", "1=2"), ("EMPTY", "")]
    assert guest.initial_cwd() is None


@pytest.mark.parametrize(("status", "code"), [(None, 0), ("error", 1)])
def test_exit_ends_the_program(status: Any, code: int) -> None:
    from wasmark import Err, Ok

    guest = Guest()
    with pytest.raises(Exit) as caught:
        guest.exit(Ok() if status is None else Err())
    assert caught.value.code == code
    with pytest.raises(ComponentTrap, match="cannot enter"):
        guest.get_arguments()


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def test_terminals_are_told() -> None:
    guest = Guest(stdin=Terminal(b""), stderr=Terminal())
    assert guest.get_terminal_stdin() is not None
    assert guest.get_terminal_stdout() is None
    assert guest.get_terminal_stderr() is not None


def test_random_bytes_are_those_given() -> None:
    guest = Guest(random=lambda size: bytes(range(size)))
    assert guest.get_random_bytes(3) == guest.get_insecure_random_bytes(3) == b"\0\1\2"
    assert guest.get_random_bytes(0) == b""
    number = int.from_bytes(bytes(range(8)), "little")
    assert guest.get_random_u64() == guest.get_insecure_random_u64() == number
    assert guest.insecure_seed() == (number, number)


@pytest.mark.parametrize("name", ["get_random_bytes", "get_insecure_random_bytes"])
def test_more_random_bytes_than_any_list_has_trap(name: str) -> None:
    with pytest.raises(ComponentTrap, match="wasi:random: 18446744073709551615 bytes at once"):
        getattr(Guest(), name)((1 << 64) - 1)


def test_what_is_logged_goes_to_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    guest = Guest()
    with caplog.at_level(logging.DEBUG, "wasmark.wasi"):
        for level in ("trace", "info", "critical"):
            guest.log(level, "db", f"100% {level}")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.DEBUG, "db: 100% trace"),
        (logging.INFO, "db: 100% info"),
        (logging.CRITICAL, "db: 100% critical"),
    ]


def test_sockets_are_refused() -> None:
    guest = Guest(Component(binary(worlds.SOCKETS)))
    network = guest.instance_network()
    assert error_of(guest.resolve_addresses, network, "localhost") == "access-denied"
    assert error_of(guest.create_tcp_socket, "ipv4") == "access-denied"
    assert error_of(guest.create_udp_socket, "ipv6") == "access-denied"
    guest.drop_network(network)


@pytest.mark.parametrize("version", ["@0.2.0", "@0.2.6", "@0.2.99"])
def test_all_versions_of_0_2_get_the_same(version: str) -> None:
    linker = ComponentLinker()
    linker.define_wasi(quiet(args=["a"]))
    guest = linker.instantiate(Component(binary([worlds.INTERFACES[0], ENVIRONMENT], version))).exports
    assert guest.get_arguments() == ["a"]


@pytest.mark.parametrize("version", ["@0.1.0", "@0.3.0", "@1.2.0", "@0.2.0-rc-2023-12-05"])
def test_other_versions_get_nothing(version: str) -> None:
    linker = ComponentLinker()
    linker.define_wasi(quiet())
    with pytest.raises(LinkError, match="wasi:cli/environment"):
        linker.instantiate(Component(binary([ENVIRONMENT], version)))


def test_a_function_that_wasi_does_not_have_is_missing() -> None:
    odd = ENVIRONMENT._replace(functions={"get-weather": "(result string)"})
    linker = ComponentLinker()
    linker.define_wasi(quiet())
    with pytest.raises(LinkError, match=r"wasi:cli/environment@0\.2\.0#get-weather"):
        linker.instantiate(Component(binary([odd])))


ENVIRONMENT = next(each for each in worlds.INTERFACES if each.name == "wasi:cli/environment")


def test_wasi_is_defined_once_and_own_definitions_come_first() -> None:
    linker = ComponentLinker()
    linker.define("wasi:cli/environment@0.2.3", {
        "get-environment": list,
        "get-arguments": lambda: ["mine"],
        "initial-cwd": lambda: "/",
    })  # fmt: skip
    linker.define_wasi(quiet(args=["theirs"]))
    with pytest.raises(LinkError, match="already"):
        linker.define_wasi()
    exports = linker.instantiate(Component(binary([ENVIRONMENT]))).exports
    assert (exports.get_arguments(), exports.initial_cwd()) == (["mine"], "/")
    with pytest.raises(TypeError, match="not both"):
        ComponentLinker().define_wasi(quiet(), args=["x"])


def test_two_programs_of_one_linker_have_the_same_world() -> None:
    linker = ComponentLinker()
    linker.define_wasi(quiet(stdin=b"ab"))
    first, second = (linker.instantiate(component()).exports for _ in range(2))
    assert first.input_stream_read(first.get_stdin(), 1) == b"a"
    assert second.input_stream_read(second.get_stdin(), 1) == b"b"


@pytest.mark.parametrize("end", ["drop", "trap", "exit", "forget"])
def test_no_descriptor_of_the_host_is_left_open(root: Any, end: str) -> None:
    before = host_descriptors(collect=True)
    guest = Guest(preopens=[Preopen(root, "/")])
    with guest.wasi:
        file = guest.open("file", mode=READ_WRITE)
        reading, writing = guest.descriptor_read_via_stream(file, 0), guest.descriptor_append_via_stream(file)
        directory = guest.open("dir")
        listing = guest.descriptor_read_directory(directory)
        assert len(host_descriptors() - before) == 5
        if end == "drop":
            guest.drop_descriptor(file)
            guest.drop_descriptor(directory)
            guest.drop_directory_entry_stream(listing)
            guest.drop_input_stream(reading)
            guest.drop_output_stream(writing)
            assert len(host_descriptors() - before) == 1
        elif end == "trap":
            with pytest.raises(Trap, match="unreachable"):
                guest.trap()
        elif end == "exit":
            from wasmark import Ok

            with pytest.raises(Exit):
                guest.exit(Ok())
    assert host_descriptors() == before


def test_what_a_guest_holds_when_it_traps_is_closed_with_its_world(root: Any) -> None:
    """Its handles are its own here: nothing of them comes out to Python."""
    before = host_descriptors(collect=True)
    with quiet(preopens=[Preopen(root, "/")]) as wasi:
        linker = ComponentLinker()
        linker.define_wasi(wasi)
        exports = linker.instantiate(Component(binary(worlds.INTERFACES))).exports
        ((directory, _),) = exports.get_directories()
        del directory
        with pytest.raises(Trap):
            exports.trap()
    assert host_descriptors() == before
