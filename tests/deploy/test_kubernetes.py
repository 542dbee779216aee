"""The Kubernetes manifests, checked strictly against the schemas of the oldest and the newest version they are meant for."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.commands import DEPLOY, containers, documents, pod_of

FOLDER = DEPLOY / "kubernetes"
VERSIONS = ("1.29", "1.37")
LISTED = [FOLDER / name for name in documents(FOLDER / "kustomization.yaml")[0]["resources"]]
EXAMPLES = [FOLDER / "secret.example.yaml", FOLDER / "admin.example.yaml"]
MANIFESTS = [one for path in [*LISTED, *EXAMPLES] for one in documents(path)]
NAMES = [f"{one['kind']} {one['metadata']['name']}" for one in MANIFESTS]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in MANIFESTS if one["kind"] == kind]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=NAMES)
def test_a_manifest_obeys_the_schema(manifest: dict[str, Any], version: str):
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_key_would_be_found():
    wrong = copy.deepcopy(of_kind("Deployment")[0])
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_kustomize_builds_what_the_files_say():
    kubectl = shutil.which("kubectl")
    assert kubectl, "kubectl is needed: its client alone does"
    done = subprocess.run([kubectl, "kustomize", FOLDER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    import yaml

    made = list(yaml.safe_load_all(done.stdout))
    assert {f"{one['kind']} {one['metadata']['name']}" for one in made} == set(NAMES) - {"Secret tunewright", "Pod admin"}
    assert {one["metadata"]["namespace"] for one in made} == {"tunewright"}
    for one in made:
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
        for container in (pod_of(one) or {"spec": {"containers": []}})["spec"]["containers"]:
            assert container["image"] == "registry.example.org/tunewright:0.0.0"


def test_pods_have_no_rights_that_they_do_not_need():
    for one in MANIFESTS:
        pod = pod_of(one)
        if pod is None:
            continue
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
    for container in containers().values():
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_what_a_manifest_refers_to_is_there():
    names = {(one["kind"], one["metadata"]["name"]) for one in MANIFESTS}
    for one in MANIFESTS:
        pod = pod_of(one)
        if pod is None:
            continue
        claims = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
        assert {("PersistentVolumeClaim", claim) for claim in claims} <= names
        (container,) = pod["spec"]["containers"]
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        sources = [
            (kind, source[key]["name"])
            for source in container["envFrom"]
            for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef"))
            if key in source
        ]
        assert set(sources) <= names
        assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in names


def test_selectors_find_the_pods_and_probes_the_port():
    (deployment,) = of_kind("Deployment")
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    (container,) = pod["spec"]["containers"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        of_kind("Service")[0]["spec"]["selector"],
        of_kind("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"],
        of_kind("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert of_kind("HorizontalPodAutoscaler")[0]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    ports = {port["name"] for port in container["ports"]}
    probes = [container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [probe["path"] for probe in probes] == ["/ready", "/ready", "/health"]
    assert {probe["port"] for probe in probes} | {port["targetPort"] for port in of_kind("Service")[0]["spec"]["ports"]} == ports


def test_jobs_run_one_at_a_time_and_bad_input_is_not_tried_again():
    for one in of_kind("CronJob"):
        job = one["spec"]["jobTemplate"]["spec"]
        assert one["spec"]["concurrencyPolicy"] == "Forbid"
        (container,) = job["template"]["spec"]["containers"]
        rule = job["podFailurePolicy"]["rules"][0]
        assert (rule["action"], rule["onExitCodes"]["values"], rule["onExitCodes"]["containerName"]) == ("FailJob", [2], container["name"])


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 0), (2, 2), (137, 137)])
@pytest.mark.parametrize("job", ["CronJob tunewright-monitor", "CronJob tunewright-retrain"])
def test_an_answer_is_no_failed_job(job: str, code: int, ends: int, tmp_path: Path):
    """The line of the shell, run by a real one with a program of ours that ends with `code`."""
    program = tmp_path / "tunewright"
    program.write_text(f"#!/bin/sh\nexit {code}\n")
    program.chmod(0o755)
    container = containers()[job]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run([*container["command"], *container["args"]], env={"PATH": path}, check=False)
    assert done.returncode == ends
