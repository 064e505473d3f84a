"""`scripts/demo`: a first release, a commit, a new model, each delivered by the action itself."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from demo import service, storage
from demo.narration import Narrator, say, stage_table
from testbed import layout, workflow
from testbed.part import TestbedError

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "flask-onnx"
NAMESPACE = "demo"
CONTAINER = "demo"


class DemoFailed(Exception):
    """Its text is all that a person needs: what failed, and where the whole log is."""


def main() -> int:
    began = time.monotonic()
    try:
        answer = _tell(Demo())
    except (DemoFailed, TestbedError) as error:
        sys.stderr.write(f"\ndemo: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo: interrupted; a second scripts/demo starts afresh\n")
        return 130
    say(f"The demo took {time.monotonic() - began:.0f} s.")
    say(f"score: {answer}")
    return 0


class Demo:
    """The testbed's addresses, the app's repository, and a count of runs."""

    def __init__(self) -> None:
        self.folder = layout.state_dir("demo")
        self.env = _bring_up()
        self.url = ""
        self._runs = 0
        self.repository = workflow.make_repository(self.folder / "flask-onnx", EXAMPLE)

    def deliver(self, why: str) -> None:
        """One run of the repository's workflow; raises DemoFailed with the action's own error."""
        self._runs += 1
        variables, secrets = workflow.settings(self.env)
        variables |= {"STORAGE_CONTAINER": CONTAINER, "NAMESPACE": NAMESPACE}
        say(f"\n── Run {self._runs}: {why} ──")
        outcome = workflow.run_workflow(
            self.repository,
            variables=variables,
            secrets=secrets,
            log=self.folder / f"run-{self._runs}.log",
            on_event=Narrator().hear,
        )
        if not outcome.succeeded:
            cause = outcome.errors[0].splitlines()[0] if outcome.errors else "no word of the action"
            raise DemoFailed(f"run {self._runs} failed: {cause}\nThe whole log: {outcome.log}")
        report = json.loads((self.repository / "modelferry-report.json").read_text())
        say(f"\n{stage_table(report)}")
        self.url = outcome.outputs["ferry"]["url"]

    def expect(self, name: str, value: str) -> None:
        """The service that answers is the one that was just delivered."""
        found = service.version(self.url)[name]
        if found != value:
            raise DemoFailed(f"{self.url}/version says {name} {found!r}, not {value!r}")

    def score(self) -> str:
        label, score = service.score(self.url, EXAMPLE / "samples" / "example.py")
        say(f"\n{self.url}/score says of samples/example.py: {label} {score:.4f}")
        return f"{label} {score:.4f}"


def _tell(demo: Demo) -> str:
    say("\nThe model, magika's, goes from its PyPI package into private Blob storage:")
    storage.empty(demo.env, CONTAINER)
    _publish(demo, "v3.3.0")
    service.ensure_namespace(demo.env["KUBECONFIG"], NAMESPACE)

    demo.deliver("the first release")
    demo.expect("model_release", "v3.3.0")
    demo.score()

    code = demo.repository / "app" / "__init__.py"
    code.write_text(code.read_text().replace('VERSION = "1"', 'VERSION = "2"'))
    workflow.commit(demo.repository, "Become version 2")
    demo.deliver('one line of the app changed: VERSION = "2"')
    demo.expect("app", "2")
    demo.score()

    say("\nA data scientist publishes a new model:")
    _publish(demo, "v3.4.0")
    demo.deliver("no commit; {latest} is another model now")
    demo.expect("model_release", "v3.4.0")
    demo.expect("app", "2")
    answer = demo.score()
    _close(demo)
    return answer


def _bring_up() -> dict[str, str]:
    say("── The local cloud: engine, registry, Blob storage, Kubernetes ──")
    if subprocess.run([ROOT / "scripts/testbed", "up"], check=False).returncode:
        raise DemoFailed("the local cloud did not come up: scripts/testbed said why")
    return service.testbed_env(ROOT)


def _publish(demo: Demo, version: str) -> None:
    command = [sys.executable, EXAMPLE / "publish_model.py", version, "--container", CONTAINER]
    env = {**os.environ, "AZURE_STORAGE_CONNECTION_STRING": storage.connection_string(demo.env)}
    if subprocess.run(command, env=env, check=False).returncode:
        raise DemoFailed("the model could not be put into Blob storage: see above")


def _close(demo: Demo) -> None:
    running = service.running_pods(demo.env["KUBECONFIG"], NAMESPACE)
    say("\n── What runs now ──")
    say("\n".join(f"{pod}  {image}" for pod, image in running))
    say(f"look   curl --data-binary @{EXAMPLE / 'samples/example.py'} {demo.url}/score")
    say(f"       KUBECONFIG={demo.env['KUBECONFIG']} kubectl --namespace {NAMESPACE} get all")
    say(f"logs   {demo.folder}/run-*.log, report {demo.repository}/modelferry-report.json")
    say("down   scripts/testbed down")


if __name__ == "__main__":
    sys.exit(main())
