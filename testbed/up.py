"""Brings the parts up side by side: each prepares at once and starts when those it needs run."""

import threading
import traceback

from testbed.part import TestbedError
from testbed.parts import Entry
from testbed.progress import Progress


class BringUp:
    def __init__(self, entries: tuple[Entry, ...], progress: Progress) -> None:
        self._entries = entries
        self._progress = progress
        self._ended = {entry.name: threading.Event() for entry in entries}
        self._faults: dict[str, str] = {}

    def run(self) -> dict[str, str]:
        """Part -> why it is not up; empty when all are."""
        # Daemon threads: an interrupt must not wait for a build that takes minutes.
        threads = [
            threading.Thread(target=self._bring, args=(entry,), daemon=True)
            for entry in self._entries
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._faults

    def _bring(self, entry: Entry) -> None:
        try:
            self._prepare_and_start(entry)
        except TestbedError as error:
            self._faults[entry.name] = str(error)
        except Exception:  # noqa: BLE001 - a thread's bug must fail `up`, with its traceback
            self._faults[entry.name] = traceback.format_exc()
        finally:
            self._ended[entry.name].set()

    def _prepare_and_start(self, entry: Entry) -> None:
        with self._progress.phase(entry.name, "prepare"):
            entry.make().prepare()
        for name in entry.needs:
            self._ended[name].wait()
            if name in self._faults:
                raise TestbedError(f"needs {name}, which is not up")
        with self._progress.phase(entry.name, "start"):
            entry.make().start()
