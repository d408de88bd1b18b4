"""Runs statements on the workers of a Citus cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ClusterError(Exception):
    """A node of the cluster refused a statement, or did not answer."""


def workers(cursor: Any) -> list[str]:
    """Return host:port of each active worker that may hold shards."""
    cursor.execute(
        "SELECT nodename || ':' || nodeport FROM pg_dist_node"
        " WHERE noderole = 'primary' AND isactive AND shouldhaveshards AND groupid > 0 ORDER BY nodeid"
    )
    return [name for (name,) in cursor.fetchall()]


def on_workers(cursor: Any, statement: str, names: Sequence[str] | None = None) -> list[tuple[str, bool, str]]:
    """Run the statement as the current role on each worker, or on those with these names (host:port).

    Returns the name, success, and the result or the error. The statement has a transaction of its own on each worker.
    """
    places = [name.rpartition(":") for name in (workers(cursor) if names is None else names)]
    hosts, ports = [host for host, _, _ in places], [int(port) for _, _, port in places]
    cursor.execute(
        "SELECT node_name || ':' || node_port, success, result"
        " FROM master_run_on_worker(%s::text[], %s::int[], array_fill(%s::text, ARRAY[%s]), true) ORDER BY 1",
        [hosts, ports, statement, len(places)],
    )
    return [(name, success, (result or "").strip()) for name, success, result in cursor.fetchall()]


def run_on_workers(cursor: Any, statement: str, names: Sequence[str] | None = None) -> None:
    """Do the same as `on_workers`. Raises `ClusterError` if a worker refuses or does not answer."""
    for name, success, result in on_workers(cursor, statement, names):
        if not success:
            raise ClusterError(f"The worker {name} did not do its part: {result}")
