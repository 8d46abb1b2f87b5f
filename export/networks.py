"""Which networks an image or a program holds: the table that firmware/app/kws_network.h describes, in C."""

from dataclasses import dataclass
from pathlib import Path

from export.feature_tables import c_array, write_text
from export.self_test import NetworkTest

NAME = "kws_networks"
_NOTICE = "/* Written by export.networks. */\n"


@dataclass(frozen=True)
class Network:
    """One network: PREFIX.c and PREFIX.h as export.c_writer writes them, and its self-test."""

    prefix: str
    test: NetworkTest


def prefixes(count: int) -> tuple[str, ...]:
    """Of the symbols of `count` networks that are linked together."""
    return ("network", *(f"network_{i}" for i in range(1, count)))


def write_networks(networks: tuple[Network, ...], folder: Path, features: bool = False,
                   chirp_crc: int | None = None) -> Path:
    """Write kws_networks.h and .c into `folder`; returns the latter.

    features: whether the first network takes ours; chirp_crc: of export.self_test, None where it is not known.
    """
    write_text(Path(folder) / f"{NAME}.h", _header(networks, features, chirp_crc))
    write_text(Path(folder) / f"{NAME}.c", _source(networks))
    return Path(folder) / f"{NAME}.c"


def _header(networks: tuple[Network, ...], features: bool, chirp_crc: int | None) -> str:
    includes = "".join(f'#include "{network.prefix}.h"\n' for network in networks)
    unions = "".join(_union(networks, what) for what in ("arena", "input", "output"))
    chirp = "" if chirp_crc is None else f"#define KWS_CHIRP_CRC {chirp_crc:#010x}u\n"
    return (f"{_NOTICE}#ifndef KWS_NETWORKS_H\n#define KWS_NETWORKS_H\n\n#include \"kws_network.h\"\n{includes}\n"
            f"#define KWS_FEATURES {int(features)}\n{chirp}"
            f"#define KWS_FIRST_INPUT_BYTES {networks[0].prefix.upper()}_INPUT_BYTES\n"
            f"enum {{ KWS_NETWORKS = {len(networks)} }};\nextern const kws_network kws_networks[KWS_NETWORKS];\n\n"
            f"/* Room for the largest. */\n{unions}\n#endif\n")


def _union(networks: tuple[Network, ...], what: str) -> str:
    aligned = " __attribute__((aligned({}_ARENA_ALIGN)))" if what == "arena" else ""
    members = "".join(f"    uint8_t {name}[{name.upper()}_{what.upper()}_BYTES]{aligned.format(name.upper())};\n"
                      for name in (network.prefix for network in networks))
    return f"typedef union {{\n{members}}} kws_any_{what};\n"


def _source(networks: tuple[Network, ...]) -> str:
    parts = "".join(_adapter(network) for network in networks)
    rows = "".join(f"    {_row(network)},\n" for network in networks)
    return (f'{_NOTICE}#include "{NAME}.h"\n{parts}\n'
            f"const kws_network kws_networks[KWS_NETWORKS] = {{\n{rows}}};\n")


def _adapter(network: Network) -> str:
    """Its expected output, and its run function for pointers to any type."""
    name = network.prefix
    return (f"{c_array(f'{name}_expected', 'uint8_t', network.test.expected, 'static ')}\n"
            f"static int {name}_run_any(void *arena, const void *input, void *output) {{\n"
            f"    return {name}_run(arena, input, output);\n}}\n")


def _row(network: Network) -> str:
    name, macro = network.prefix, network.prefix.upper()
    return (f"{{{name}_run_any, {macro}_INPUT_BYTES, {macro}_OUTPUT_BYTES, {macro}_ARENA_BYTES, {network.test.seed}, "
            f"sizeof {name}_expected, {name}_expected}}")
