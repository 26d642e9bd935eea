"""Which server holds which key: the only one, the primary that sentinels name, or a cluster's by slot (O1).

The map is shared by all threads of a process and by its event loop. It is asked for when it is first needed,
and again when a server failed or said that a key is no longer its own; the event loop only reads it. A
client's own map (redis-py's) would bring its connections along, at twice what a check costs; CRC16 is in the
standard library, and what is left is this module.
"""

import logging
import random
import threading
import time
from binascii import crc_hqx
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import hiredis
from django.conf import settings

from keys.hotstore.address import Address, Store, parse_store
from keys.hotstore.connection import Connection, StoreUnavailableError, encode
from keys.hotstore.record import tag_of

logger = logging.getLogger(__name__)

N_SLOTS: Final = 16_384
# How long a server that failed is left alone, and how often at most the map is asked for.
PAUSE_SECONDS: Final = 0.5


def slot_of(key: bytes) -> int:
    """The cluster's slot of a key: of what stands in its first braces, if anything does."""
    opened = key.find(b"{")
    closed = key.find(b"}", opened + 1)
    if opened >= 0 and closed > opened + 1:
        key = key[opened + 1 : closed]
    return crc_hqx(key, 0) % N_SLOTS


@cache
def slot_of_bucket(bucket: bytes) -> int:
    """The slot of all keys whose key id begins with these two characters."""
    return slot_of(b"{%b}" % tag_of(bucket.decode()))


class Node:
    """A server, and how it fared lately with all who asked it.

    Until `rests_until` (monotonic seconds) it is left alone. One slow answer is no outage: only the second
    timeout without a success between them makes everybody wait.
    """

    __slots__ = ("address", "n_timeouts", "rests_until")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.rests_until = 0.0
        self.n_timeouts = 0

    def rest(self) -> None:
        """Leave it alone for a moment, so that nobody queues up behind its timeout (V5)."""
        self.rests_until = time.monotonic() + PAUSE_SECONDS


class HotMap:
    """The map of one store. `slots` has one place for each slot, or a single one where there are no slots."""

    def __init__(self, store: Store) -> None:
        self.is_cluster = store.is_cluster
        self._store = store
        self._is_fixed = not store.is_cluster and not store.service
        self._nodes: dict[tuple[str, int], Node] = {}
        self._asking = threading.Lock()
        self._is_doubted = not self._is_fixed
        self._not_before = 0.0
        first = Node(store.server) if self._is_fixed else None
        self.slots: list[Node | None] = [first] * (N_SLOTS if store.is_cluster else 1)

    def slot(self, key: bytes) -> int:
        """The place of a key in `slots`."""
        return slot_of(key) if self.is_cluster else 0

    def node(self, slot: int) -> Node:
        """The server of a slot; asks for the map where it is doubted. Raises StoreUnavailableError."""
        if self._is_doubted:
            self.refresh()
        node = self.slots[slot]
        if node is None:
            self._is_doubted = True
            raise StoreUnavailableError("Nobody tells where the hot store is.")
        return node

    def nodes(self) -> list[Node]:
        """Every server that holds something. Raises StoreUnavailableError where that is not known."""
        if self._is_doubted:
            self.refresh()
        found = list(dict.fromkeys(node for node in self.slots if node is not None))
        if not found:
            raise StoreUnavailableError("Nobody tells where the hot store is.")
        return found

    def doubt(self) -> None:
        """A server failed: whoever asks next asks for the map, too."""
        self._is_doubted = not self._is_fixed

    def forget_failures(self) -> None:
        """Try again at once, whatever failed a moment ago."""
        self._not_before = 0.0
        for node in [node for node in self.slots[:1] if node] + list(self._nodes.values()):
            node.rests_until, node.n_timeouts = 0.0, 0

    def moved(self, error: str) -> tuple[Node, bool]:
        """Where `MOVED 3999 host:port` or `ASK …` leads, and whether only for this once."""
        kind, number, place = error.split(maxsplit=2)
        host, _, port = place.rpartition(":")
        node = self._node_at(host.strip("[]"), int(port))
        if kind == "MOVED":
            self.slots[int(number)] = node
            self._is_doubted = True
        return node, kind == "ASK"

    def refresh(self) -> None:
        """Ask for the map: one thread, at most twice a second. The others go by the one that there is."""
        is_first = all(node is None for node in self.slots[:: N_SLOTS // 8])
        if not self._asking.acquire(blocking=is_first):
            return
        try:
            if not self._is_doubted or time.monotonic() < self._not_before:
                return
            self._not_before = time.monotonic() + PAUSE_SECONDS
            self._is_doubted = not self._learn()
        finally:
            self._asking.release()

    def _learn(self) -> bool:
        known = [node.address for node in self._nodes.values() if not self._store.service]
        random.shuffle(known)
        for address in dict.fromkeys([*known, *self._store.seeds]):
            try:
                found = self._ask(address)
            except (OSError, hiredis.HiredisError, StoreUnavailableError, LookupError, ValueError):
                continue
            if found:
                return True
        logger.warning("nobody tells where the hot store is")
        return False

    def _ask(self, address: Address) -> bool:
        """Take over what one server tells; False where it knows nothing."""
        connection = Connection(address)
        try:
            if self._store.service:
                told = connection.expect(encode("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._store.service))
                if told:
                    self.slots = [self._node_at(told[0].decode(), int(told[1]))]
                return bool(told)
            return self._take(connection.expect(encode("CLUSTER", "SLOTS")), address)
        finally:
            connection.close()

    def _take(self, ranges: Iterable[list[Any]], asked: Address) -> bool:
        """What CLUSTER SLOTS told: first and last slot, then the primary and its replicas."""
        slots: list[Node | None] = [None] * N_SLOTS
        for first, last, (host, port, *_), *_replicas in ranges:
            # A node that does not know its own name is at the address where we asked it.
            name = asked.host if host in {None, b"", b"?"} else host.decode()
            slots[first : last + 1] = [self._node_at(name, port)] * (last + 1 - first)
        named = {node for node in slots if node is not None}
        if not named:
            return False
        self.slots = slots
        self._nodes = {place: node for place, node in self._nodes.items() if node in named}
        return True

    def _node_at(self, host: str, port: int) -> Node:
        place = (host, port)
        if place not in self._nodes:
            self._nodes[place] = Node(self._store.server.at(host, port))
        return self._nodes[place]


class _Known:
    url = ""
    map: HotMap


def hot_map() -> HotMap:
    """The map of the store that the settings name."""
    if _Known.url != settings.HOT_STORE_URL:
        _Known.map = HotMap(parse_store(settings.HOT_STORE_URL))
        _Known.url = settings.HOT_STORE_URL
    return _Known.map
