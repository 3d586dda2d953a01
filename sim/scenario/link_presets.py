"""Links of well-known technologies, as a file would write them, and where each figure is from.

They are starting points: what a message meets once it has the medium, one sender at a time. Who
shares the medium, how far apart the ends are and what disturbs them, other keys say. A figure that
nobody publishes is marked as assumed.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec


class Preset(msgspec.Struct, frozen=True):
    """keys: of a link, all that the technology determines. title, sources: for people."""

    title: str
    keys: dict[str, Any]
    sources: tuple[str, ...]


PRESETS: Final[dict[str, Preset]] = {
    "ethernet": Preset(
        "1000BASE-T over one switch",
        {
            "latency": "10us", "jitter": {"uniform": "12us"}, "loss": 1.2e-6, "burst": "none",
            "rate": "1Gbit/s", "queue": "128kB",
        },
        (
            "rate: IEEE 802.3, clause 40",
            "latency: assumed, a store-and-forward switch and 100 m of cable (0.5 us)",
            "jitter: waiting for a frame of full length, 1,538 bytes with preamble and gap",
            "loss: a frame of full length at the bit error rate of clause 40, 1e-10",
            "queue: assumed, the buffer of a small unmanaged switch",
        ),
    ),
    "wifi": Preset(
        "IEEE 802.11 in a busy building",
        {
            "latency": "100us", "jitter": {"lognormal": ["3ms", 1.48]}, "loss": "0.1%",
            "burst": "none", "rate": "54Mbit/s", "queue": "256KiB",
        },
        (
            "rate: the highest of IEEE 802.11a and g",
            "latency: DIFS 34 us, preamble 20 us, SIFS 16 us, acknowledgement 28 us (802.11a)",
            "jitter: median 3 ms, 90 % within 20 ms: Sui et al., Characterizing and Improving WiFi "
            "Latency in Large-Scale Operational Networks, MobiSys 2016; sigma = ln(20/3) / 1.2816",
            "loss: assumed; 7 attempts at 37 % each, by the retry limit of 802.11",
            "queue: assumed, some 170 frames",
        ),
    ),
    "dsrc": Preset(
        "IEEE 802.11p on a 10 MHz channel at 5.9 GHz, broadcast",
        {
            "latency": "150us", "jitter": {"uniform": "39us"}, "loss": "10%", "burst": "none",
            "rate": "6Mbit/s", "queue": "16KiB",
        },
        (
            "rate: QPSK 1/2, the default of SAE J2945/1",
            "latency: AIFS 58 us (SIFS 32 us, two slots of 13 us), preamble and signal 40 us, 38 "
            "bytes of headers in 51 us (IEEE 802.11p, 1609.3)",
            "jitter: a contention window of 3 slots (IEEE 802.11p, voice)",
            "loss: at the minimum sensitivity, where the standard allows 10 %; nearer it is less, "
            "which `radio` computes",
            "queue: assumed",
        ),
    ),
    "lte": Preset(
        "LTE of 2011, uplink",
        {
            "latency": "20ms", "jitter": {"exponential": "4.5ms"}, "loss": "0.1%", "burst": "none",
            "rate": "6Mbit/s", "queue": "1MiB",
        },
        (
            "latency, jitter: half of a round trip of at least 40 and on average 49 ms: Signals "
            "Research, AT&T in Houston, 2011",
            "loss: 3GPP TS 23.203, table 6.1.7, QCI 7",
            "rate: median uplink of Huang et al., A Close Examination of Performance and Power "
            "Characteristics of 4G LTE Networks, MobiSys 2012",
            "queue: assumed",
        ),
    ),
    "lora": Preset(
        "LoRa at spreading factor 7, 125 kHz, coding rate 4/5",
        {
            "latency": "27.32ms", "jitter": "none", "loss": "12%", "burst": "none",
            "rate": "5468.75bit/s", "queue": "255B",
        },
        (
            "rate: 7 x 4/5 x 125 kHz / 2^7 (Semtech AN1200.22)",
            "latency: preamble of 12.25 symbols, header, checksum and padding, so that 20 bytes "
            "are 56.58 ms in the air (Semtech AN1200.13)",
            "loss: measured up to 2 km from the base station, at spreading factor 12: Petajajarvi "
            "et al., On the Coverage of LPWANs, ITST 2015",
            "queue: the buffer of a module, one message of 255 bytes (Semtech SX1276)",
        ),
    ),
    "power_line": Preset(
        "PRIME narrowband power line, DBPSK with error correction",
        {
            "latency": "6.528ms", "jitter": {"uniform": "18ms"}, "loss": "1.5%", "burst": "none",
            "rate": "21.4kbit/s", "queue": "2KiB",
        },
        (
            "rate: ITU-T G.9904, DBPSK with convolutional code",
            "latency: preamble 2.048 ms and two header symbols of 2.24 ms (ITU-T G.9904)",
            "jitter: assumed, 8 symbols of contention",
            "loss: a packet of 14 ms (20 bytes) meets an impulse, which come every 0.96 s on a "
            "moderately disturbed line: Zimmermann and Dostert, IEEE Trans. EMC 44 (2002)",
            "queue: assumed",
        ),
    ),
}  # fmt: skip
