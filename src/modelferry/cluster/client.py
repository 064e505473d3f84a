"""The verbs of one cluster, on plain JSON objects. Reads are tried again; so are writes, which
all are idempotent. Only rollout/apply.py calls the writing ones."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from modelferry.cluster import access_review
from modelferry.cluster.access_review import Own
from modelferry.cluster.pod_proxy import PodProxy, open_pod_proxy
from modelferry.cluster.resources import NAMESPACES, PODS, Resource, group_path
from modelferry.cluster.terms import DOUBT_S, LONGEST_WAIT_S, WRITE_CONNECT_S, Terms, is_doubtful
from modelferry.cluster.transport import READ_S, Query, Refused, Transport
from modelferry.cluster.tunnel import Tunnel, TunnelError, open_tunnel
from modelferry.cluster.watch import Watch
from modelferry.errors import FerryError, IdentityError
from modelferry.retry import retry
from modelferry.values import uncoloured

Object = Mapping[str, Any]

FIELD_MANAGER = "modelferry"
_NO_LOG = "unable to retrieve container logs"  # the kubelet's words in the place of a program's


class Cluster:
    def __init__(self, transport: Transport, *, namespace: str) -> None:
        self.namespace = namespace  # of the kubeconfig's context
        self._transport = transport
        self._served: dict[str, tuple[Resource, ...]] = {}
        self.terms = Terms()

    def on(self, **terms: Any) -> Self:
        """The same cluster, with these of its Terms changed."""
        other = copy.copy(self)
        other.terms = replace(self.terms, **terms)
        return other

    @property
    def server(self) -> str:
        return self._transport.server

    def version(self) -> str:
        return str(self._json("GET", "/version", tries=3).get("gitVersion", "unknown"))

    # What the cluster knows

    def resource(self, api_version: str, kind: str, *, fresh: bool = False) -> Resource | None:
        """None: the cluster serves no such kind. `fresh` asks again, after a definition came."""
        if fresh or api_version not in self._served:
            self._served[api_version] = self._discover(api_version)
        for resource in self._served[api_version]:
            if resource.kind == kind:
                return resource
        return None

    def _discover(self, api_version: str) -> tuple[Resource, ...]:
        try:
            listed = self._json("GET", group_path(api_version))
        except Refused as refused:
            if refused.code == 404:
                return ()
            raise
        return tuple(
            Resource(
                api_version=api_version,
                kind=entry["kind"],
                plural=entry["name"],
                namespaced=entry["namespaced"],
            )
            for entry in listed.get("resources", ())
            if "/" not in entry["name"]
        )

    def check_apply(
        self,
        objects: Sequence[tuple[Resource, str | None]],
        *,
        watched: Callable[[Resource], bool],
        asked: bool = False,
        own: Sequence[Own] = (),
    ) -> tuple[str, ...]:
        """Kinds and namespaces of what will be applied → warnings. Raises RolloutError naming
        every verb that is missing. `asked`: requests will go to the pods. Changes nothing."""
        return access_review.check(self._json, objects, watched, asked=asked, own=own)

    def namespace_exists(self, name: str) -> bool:
        """True also where we may not look: the API server will say so itself."""
        try:
            return self.get(NAMESPACES, name, None) is not None
        except Refused as refused:
            if refused.code == 403:
                return True
            raise

    # Reading

    def get(self, resource: Resource, name: str, namespace: str | None) -> Object | None:
        try:
            return self._json("GET", resource.path(namespace, name))
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        selectors: Query = (),
        tries: int | None = None,
        read_s: float = READ_S,
    ) -> tuple[tuple[Object, ...], str]:
        """The objects, and the resourceVersion to watch from."""
        path = resource.path(namespace)
        listed = self._json("GET", path, query=selectors, tries=tries, read_s=read_s)
        # the items of a list leave out what the list already says
        known = {"apiVersion": resource.api_version, "kind": resource.kind}
        items = tuple(known | item for item in listed["items"])
        return items, listed["metadata"]["resourceVersion"]

    def watch(self, resource: Resource, namespace: str | None, version: str) -> Watch:
        """From what a list gave as its version."""
        return Watch(self._transport, resource.path(namespace), version)

    def logs(
        self, pod: str, namespace: str, container: str, *, previous: bool, lines: int
    ) -> tuple[str, ...]:
        query = [("container", container), ("tailLines", str(lines)), ("limitBytes", "65536")]
        if previous:
            query.append(("previous", "true"))
        path = PODS.path(namespace, pod, "log")
        # the API server answers a refusal in JSON even so, and a log in plain text only
        with self._transport.open("GET", path, query=query, accept="*/*", read_s=10) as response:
            said = uncoloured(response.data.decode(errors="replace")).splitlines()
        return tuple(line for line in said if not line.startswith(_NO_LOG))

    def try_logs(
        self, pod: str, namespace: str, container: str, *, lines: int, previous: bool = False
    ) -> tuple[str, ...]:
        """For evidence: a log that cannot be read says why in its place."""
        try:
            return self.logs(pod, namespace, container, previous=previous, lines=lines)
        except FerryError as error:
            return (f"(cannot be read: {error.what})",)

    def pod_proxy(
        self,
        pod: str,
        namespace: str,
        port: int,
        *,
        after: TunnelError,
        listen_on: str = "127.0.0.1",
    ) -> PodProxy:
        """The other way to a pod; use it in a `with`."""
        return open_pod_proxy(self._transport, pod, namespace, port, listen_on, after=after)

    def tunnel(
        self, pod: str, namespace: str, port: int, *, listen_on: str = "127.0.0.1"
    ) -> Tunnel:
        """Opens a way from a local address to a port of a pod; use it in a `with`."""
        return open_tunnel(self._transport, pod, namespace, port, listen_on)

    # Writing

    def apply(
        self,
        resource: Resource,
        body: Object,
        namespace: str | None,
        *,
        dry_run: bool = False,
        force: bool = False,
    ) -> Object:
        """Server-side apply as FIELD_MANAGER; creates what is not there. Unknown fields are
        refused."""
        query = [
            ("fieldManager", FIELD_MANAGER),
            ("fieldValidation", "Strict"),
            ("force", "true" if force else "false"),
        ]
        if dry_run:
            query.append(("dryRun", "All"))
        send = self._json if dry_run else self._write
        return send(
            "PATCH",
            resource.path(namespace, body["metadata"]["name"]),
            query=query,
            body=body,
            content_type="application/apply-patch+yaml",
        )

    def create(self, resource: Resource, body: Object, namespace: str | None) -> Object:
        """Refused (409) when there is one of this name already: of several, one caller wins."""
        query = [("fieldManager", FIELD_MANAGER)]
        return self._write("POST", resource.path(namespace), query=query, body=body)

    def try_to_create(self, resource: Resource, body: Object, namespace: str | None) -> None:
        """A dry run of a creation under a name of its own: the object's own may be taken."""
        metadata = {key: value for key, value in body["metadata"].items() if key != "name"}
        metadata["generateName"] = f"{body['metadata']['name']}-"
        self._json(
            "POST",
            resource.path(namespace),
            query=[("dryRun", "All"), ("fieldValidation", "Strict")],
            body={**body, "metadata": metadata},
        )

    def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        operations: Sequence[Object],
        *,
        dry_run: bool = False,
    ) -> Object:
        """A JSON Patch (RFC 6902); refused as a whole when a `test` in it fails."""
        query = [("fieldManager", FIELD_MANAGER)]
        if dry_run:
            query.append(("dryRun", "All"))
        send = self._json if dry_run else self._write
        return send(
            "PATCH",
            resource.path(namespace, name),
            query=query,
            body=list(operations),
            content_type="application/json-patch+json",
        )

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        *,
        uid: str,
        dry_run: bool = False,
    ) -> None:
        """Deletes this very object and what it owns; the caller waits until it is gone."""
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            # a Job goes after its pods, so that no old one works beside its successor's
            "propagationPolicy": "Background" if resource == PODS else "Foreground",
            "preconditions": {"uid": uid},
        } | ({"dryRun": ["All"]} if dry_run else {})
        send = self._json if dry_run else self._write
        try:
            send("DELETE", resource.path(namespace, name), body=options)
        except Refused as refused:
            if refused.code != 404:
                raise

    def _write(self, method: str, path: str, *, query: Query = (), **how: Any) -> dict[str, Any]:
        terms = self.terms
        limited = (*query, ("timeout", f"{terms.write_s:g}s"))

        def once() -> dict[str, Any]:
            terms.permit()
            return self._transport.json(
                method,
                path,
                query=limited,
                read_s=terms.write_s,
                connect_s=WRITE_CONNECT_S,
                **how,
            )

        return self._tried(once)

    def _json(
        self, method: str, path: str, *, tries: int | None = None, **how: Any
    ) -> dict[str, Any]:
        """`tries`: so many and no more, whatever the Terms say."""
        return self._tried(lambda: self._transport.json(method, path, **how), tries)

    def _tried(
        self, once: Callable[[], dict[str, Any]], tries: int | None = None
    ) -> dict[str, Any]:
        if tries is not None:
            return retry(once, tries=tries)

        def doubted() -> dict[str, Any]:
            try:
                return once()
            except (Refused, IdentityError) as error:
                if time.monotonic() - self._transport.away_at < DOUBT_S and is_doubtful(error):
                    error.temporary = True
                raise

        terms = self.terms
        return retry(doubted, tries=terms.tries, until=terms.until, longest_wait_s=LONGEST_WAIT_S)
