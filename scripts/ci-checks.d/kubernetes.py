"""Holds deploy/kubernetes against itself and against our settings: what a cluster would refuse, or start without what it needs.

usage: scripts/ci-checks.d/kubernetes.py     (from the root of the repository; needs PyYAML)
"""

import pathlib
import re
import sys
import tomllib

import yaml

FOLDER = pathlib.Path("deploy/kubernetes")
VERSIONS = {
    "ConfigMap": "v1",
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Job": "batch/v1",
    "Namespace": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "Service": "v1",
    "ServiceAccount": "v1",
}
# Made by hand, since nothing secret is in the folder: deploy/kubernetes/README.md.
SECRETS = {"odograph", "odograph-signing-key"}

problems = []


def check(holds, what):
    if not holds:
        problems.append(what)


def objects():
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    there = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    check(set(listed) == there, f"kustomization.yaml lists {sorted(listed)}, there are {sorted(there)}")
    for file in sorted(there):
        for thing in yaml.safe_load_all((FOLDER / file).read_text()):
            yield file, thing


def holds(labels, selector):
    return all(labels.get(name) == value for name, value in selector.items())


def check_pod(name, template, maps):
    spec = template["spec"]
    pod = spec["securityContext"]
    check(pod.get("runAsNonRoot") is True and pod.get("runAsUser", 0) > 0, f"{name} may run as root")
    check(pod.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{name} has no seccomp profile")
    check(spec.get("serviceAccountName") == "odograph", f"{name} has another service account")
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for volume in spec.get("volumes", []):
        secret = volume.get("secret", {}).get("secretName")
        check(secret is None or secret in SECRETS, f"{name} mounts the secret {secret}, which README.md does not make")
    for container in spec["containers"]:
        context = container["securityContext"]
        check(context.get("readOnlyRootFilesystem") is True, f"{name} may write its root")
        check(context.get("allowPrivilegeEscalation") is False, f"{name} may gain rights")
        check(context.get("capabilities") == {"drop": ["ALL"]}, f"{name} keeps capabilities")
        resources = container["resources"]
        check("memory" in resources["limits"] and {"cpu", "memory"} <= set(resources["requests"]), f"{name} has no bounds")
        check(container["image"] == "odograph", f"{name} names an image that kustomization.yaml does not set")
        for mount in container["volumeMounts"]:
            check(mount["name"] in volumes, f"{name} mounts {mount['name']}, which is no volume")
        for source in container["envFrom"]:
            if "configMapRef" in source:
                check(source["configMapRef"]["name"] in maps, f"{name} reads a config map that there is not")
            else:
                check(source["secretRef"]["name"] in SECRETS, f"{name} reads a secret that README.md does not make")
        for entry in container.get("env", []):
            check(not re.search("PASSWORD|SECRET|MASTER_KEY|URL", entry["name"]), f"{name} has {entry['name']} in the open")
            yield entry["name"]
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container.get(probe, {}).get("httpGet")
            check(asked is None or asked["port"] in ports, f"{name}: {probe} asks a port that is not named")


def main():
    things = list(objects())
    settings = tomllib.loads(pathlib.Path("services/src/config.default.toml").read_text())
    maps = {thing["metadata"]["name"]: thing["data"] for _, thing in things if thing["kind"] == "ConfigMap"}
    deployments = {thing["metadata"]["name"]: thing for _, thing in things if thing["kind"] == "Deployment"}
    labels = [thing["spec"]["template"]["metadata"]["labels"] for thing in deployments.values()]
    named, seen = [key for data in maps.values() for key in data], set()
    for file, thing in things:
        kind, name = thing["kind"], f"{file}: {thing['kind']} {thing['metadata']['name']}"
        check(thing["apiVersion"] == VERSIONS.get(kind), f"{name} is of the version {thing['apiVersion']}")
        check((kind, thing["metadata"]["name"]) not in seen, f"{name} is there twice")
        seen.add((kind, thing["metadata"]["name"]))
        check(kind != "Secret", f"{name} holds a secret")
        spec = thing.get("spec", {})
        if kind in ("Deployment", "Job"):
            named.extend(check_pod(name, spec["template"], maps))
        if kind == "Deployment":
            check(holds(spec["template"]["metadata"]["labels"], spec["selector"]["matchLabels"]), f"{name} selects other pods")
            probes = {"readinessProbe", "livenessProbe"} <= set(spec["template"]["spec"]["containers"][0])
            check(probes, f"{name} has no probes")
            check("replicas" not in spec, f"{name} says a number that is the autoscaler's")
        if kind in ("Service", "PodDisruptionBudget"):
            selector = spec["selector"] if kind == "Service" else spec["selector"]["matchLabels"]
            check(any(holds(of, selector) for of in labels), f"{name} selects nothing")
        if kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            check(spec["scaleTargetRef"]["name"] in deployments, f"{name} scales what there is not")
        if kind == "ScaledObject":
            partitions = int(maps["odograph"]["ODOGRAPH__QUEUE__PARTITIONS"])
            check(spec["maxReplicaCount"] <= partitions, f"{name} starts more workers than there are partitions")
    for key in named:
        at = settings
        for part in key.removeprefix("ODOGRAPH__").lower().split("__"):
            at = at.get(part) if isinstance(at, dict) else None
        check(at is not None, f"{key} is no setting of ours")
    for problem in problems:
        print(f"deploy/kubernetes/{problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
