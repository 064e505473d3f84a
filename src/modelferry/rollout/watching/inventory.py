"""What the API server has shown so far, found again by name, by uid and by owner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelferry.cluster.resources import Resource
from modelferry.rollout.objects.ownership import owner_uid

Object = Mapping[str, Any]
Place = tuple[Resource, str | None]  # a kind, and the namespace it is watched in


@dataclass(slots=True)
class _Shelf:
    """The objects of one place. A name whose object was made anew means the new one."""

    by_uid: dict[str, Object] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)
    by_owner: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    def put(self, body: Object) -> None:
        uid = body["metadata"]["uid"]
        if uid in self.by_uid:
            self.remove(self.by_uid[uid])  # its owner may be another now
        self.by_uid[uid] = body
        self.by_name[body["metadata"]["name"]] = uid
        if owner := owner_uid(body):
            self.by_owner[owner][uid] = None

    def remove(self, body: Object) -> None:
        uid, name = body["metadata"]["uid"], body["metadata"]["name"]
        self.by_uid.pop(uid, None)
        if self.by_name.get(name) == uid:
            del self.by_name[name]
        if owner := owner_uid(body):
            self.by_owner[owner].pop(uid, None)


class Inventory:
    def __init__(self) -> None:
        self._shelves: dict[Place, _Shelf] = {}

    def has_seen(self, place: Place) -> bool:
        return place in self._shelves

    def replace(self, place: Place, listed: Iterable[Object]) -> None:
        shelf = self._shelves[place] = _Shelf()
        for body in listed:
            shelf.put(body)

    def put(self, place: Place, body: Object) -> None:
        self._shelves.setdefault(place, _Shelf()).put(body)

    def remove(self, place: Place, body: Object) -> None:
        self._shelves.setdefault(place, _Shelf()).remove(body)

    def all(self, place: Place) -> Collection[Object]:
        shelf = self._shelves.get(place)
        return shelf.by_uid.values() if shelf else ()

    def named(self, place: Place, name: str) -> Object | None:
        shelf = self._shelves.get(place)
        return shelf.by_uid.get(shelf.by_name.get(name, "")) if shelf else None

    def of_uid(self, place: Place, uid: str) -> Object | None:
        shelf = self._shelves.get(place)
        return shelf.by_uid.get(uid) if shelf else None

    def owned_by(self, place: Place, uid: str) -> tuple[Object, ...]:
        shelf = self._shelves.get(place)
        if shelf is None:
            return ()
        return tuple(shelf.by_uid[owned] for owned in shelf.by_owner.get(uid, ()))
