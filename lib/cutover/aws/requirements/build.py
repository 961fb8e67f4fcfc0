"""What is looked at in the application's own repository: the Dockerfile and the pipeline's workflow."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Self

import yaml

from cutover.aws.requirements.answers import Ask, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.compute import only_on_ecs
from cutover.aws.requirements.requirement import HIGH, Outcome, judged, requirement
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import BuildExpectation, EcsExpectation

_NODE_ENDS = {18: date(2025, 4, 30), 20: date(2026, 4, 30), 22: date(2027, 4, 30), 24: date(2028, 4, 30)}
"""When the Node.js lines end (nodejs.org/en/about/previous-releases, read in November 2026)."""


class Dockerfile(View):
    """The Dockerfile: `stages`, each a list of `[INSTRUCTION, arguments]`."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Where the parameters say it lies."""
        only_on_ecs(stack)
        return _file(stack.expect.build.dockerfile, "Dockerfile", "expect.build.dockerfile")

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Split into stages."""
        whole = super().read(stack)
        text = re.sub(r"\\\n", " ", whole.text("Text"))
        lines = [
            line.strip().split(None, 1)
            for line in text.splitlines()
            if line.strip() and not line.strip().startswith("#")
        ]
        stages: list[list[list[str]]] = []
        for words in lines:
            if words[0].upper() == "FROM":
                stages.append([])
            if stages:
                stages[-1].append([words[0].upper(), words[1] if len(words) > 1 else ""])
        if not stages:
            raise Unreadable(f"{whole.subject} has no FROM", evidence=whole.evidence)
        return cls({"stages": stages}, whole.subject, whole)

    @property
    def final(self) -> list[list[str]]:
        """The instructions of the last stage, which becomes the image."""
        return list(self.rows("stages")[-1])

    def values(self, instruction: str) -> list[str]:
        """The arguments of one instruction in the last stage."""
        return [value for name, value in self.final if name == instruction]


def _file(path: str | None, what: str, where: str) -> Ask:
    if not path:
        raise NotApplicable(f"no {what} is named ({where}): it is looked at where the image is built")
    return Ask("files", "read", {"Path": path}, f"file {path}", name=path)


@requirement("IMG-01", title="The image is built in stages", severity=HIGH, guide=277)
def two_stages(file: Dockerfile) -> Outcome:
    """In one stage, compilers and sources are shipped to production with the application."""
    copies = [v for v in file.values("COPY") if v.startswith("--from=")]
    stages = len(file.rows("stages"))
    return judged(
        stages >= 2 and bool(copies),
        expected="two stages, the last copies from the first",
        observed=f"{stages} stages, {len(copies)} copies",
    )


@requirement("IMG-02", title="The image runs as an ordinary user", severity=HIGH, guide=303)
def ordinary_user(file: Dockerfile, expect: BuildExpectation) -> Outcome:
    """A hole in the application is otherwise root's."""
    users = file.values("USER")
    made = " ".join(file.values("RUN"))
    known = bool(users) and (users[-1] in expect.users or any(u in made for u in (users[-1],)))
    return judged(
        known and users[-1] not in ("root", "0"),
        expected="USER, and not root",
        observed=users or "no USER: root",
    )


@requirement("IMG-03", title="The image exposes the application's port", severity=HIGH, guide=307)
def exposed_port(file: Dockerfile, expect: EcsExpectation) -> Outcome:
    """Task definition, target group and image must mean the same one."""
    ports = {p.split("/")[0] for v in file.values("EXPOSE") for p in v.split()}
    return judged(str(expect.port) in ports, expected=str(expect.port), observed=ports)


@requirement(
    "IMG-04", title="The image runs in production mode, without development packages", severity=HIGH, guide=296
)
def production_mode(file: Dockerfile) -> Outcome:
    """Development packages are twice the size and most of the holes that a scan finds."""
    mode = any(re.search(r"NODE_ENV[= ]production", v) for v in file.values("ENV"))
    installs = [v for v in file.values("RUN") if re.search(r"npm (ci|install)", v)]
    lean = all("--omit=dev" in v or "--production" in v for v in installs)
    old = any("--production" in v for v in installs)
    seen = f"NODE_ENV {'production' if mode else 'not set'}; {', '.join(installs) or 'no npm ci'}"
    return judged(
        mode and lean and not old,
        expected="NODE_ENV=production, npm ci --omit=dev",
        observed=seen,
        remedy="npm ci --omit=dev   # --production is deprecated" if old else "",
    )


@requirement("IMG-05", title="The health check's tool is in the image", severity=HIGH, guide=384)
def health_tool(file: Dockerfile, expect: EcsExpectation) -> Outcome:
    """node:*-alpine has no curl: a check that uses it fails in every task."""
    checks = file.values("HEALTHCHECK")
    installed = " ".join(file.values("RUN"))
    absent = [
        t
        for t in expect.absent_tools
        for c in checks
        if re.search(rf"\b{t}\b", c) and not re.search(rf"\b{t}\b", installed)
    ]
    return judged(
        not absent, expected="a tool that the image has", observed=absent or checks or "no HEALTHCHECK: the task's own"
    )


@requirement("IMG-06", title="The base image is still maintained", severity=HIGH, guide=277)
def base_is_maintained(file: Dockerfile, stack: Stack) -> Outcome:
    """Node.js 20 ended in April 2026: its holes are published and stay open."""
    images = [stage[0][1].split()[0] for stage in file.rows("stages")]
    over = []
    for image in images:
        found = re.match(r"(?:.*/)?node:(\d+)", image)
        if found and int(found[1]) in _NODE_ENDS and _NODE_ENDS[int(found[1])] < stack.now.date():
            over.append(f"{image} ended {_NODE_ENDS[int(found[1])]}")
    return judged(not over, expected="a line that is maintained", observed=over or images, remedy="FROM node:24-alpine")


class Workflow(View):
    """The pipeline's workflow, as YAML."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Where the parameters say it lies."""
        return _file(stack.expect.build.workflow, "workflow", "expect.build.workflow")

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Parsed; YAML reads the key `on` as true."""
        whole = super().read(stack)
        try:
            loaded = yaml.safe_load(whole.text("Text"))
        except yaml.YAMLError as error:
            raise Unreadable(f"{whole.subject} is no YAML", evidence=whole.evidence) from error
        if not isinstance(loaded, dict) or not isinstance(loaded.get("jobs"), dict):
            raise NotThere(f"{whole.subject} has no jobs", evidence=whole.evidence)
        return cls({("on" if k is True else k): v for k, v in loaded.items()}, whole.subject, whole)

    @property
    def jobs(self) -> dict[str, Any]:
        """The jobs by name."""
        return {str(k): v for k, v in dict(self.need("jobs")).items() if isinstance(v, dict)}

    @property
    def uses(self) -> list[tuple[str, dict[str, Any]]]:
        """Every action that a step uses, with its inputs."""
        steps = [s for job in self.jobs.values() for s in job.get("steps") or [] if isinstance(s, dict)]
        return [(str(s["uses"]), dict(s.get("with") or {})) for s in steps if s.get("uses")]

    @property
    def deploys(self) -> dict[str, Any]:
        """The job that deploys.

        Raises:
            NotThere: none does.
        """
        for job in self.jobs.values():
            if any("amazon-ecs-deploy-task-definition" in str(s.get("uses", "")) for s in job.get("steps") or []):
                return dict(job)
        raise NotThere(f"no job of {self.subject} deploys", evidence=self.evidence)


@requirement("CI-01", title="The pipeline deploys to what is checked here, after its tests", severity=HIGH, guide=796)
def pipeline_names(flow: Workflow, expect: EcsExpectation, stack: Stack) -> Outcome:
    """A pipeline with another name deploys somewhere else, and says that it worked."""
    job = flow.deploys
    env = {**dict(flow.get("env") or {}), **dict(job.get("env") or {})}
    wanted = {
        "AWS_REGION": stack.migration.region,
        "ECR_REPOSITORY": stack.expect.ecr.repository,
        "ECS_CLUSTER": expect.cluster,
        "ECS_SERVICE": expect.service,
    }
    bad = [f"{k} is {env.get(k)}, not {v}" for k, v in wanted.items() if str(env.get(k)) != v]
    bad += [] if job.get("needs") else ["it does not wait for the tests"]
    bad += [] if job.get("environment") else ["it names no environment"]
    waits = [w.get("wait-for-service-stability") for u, w in flow.uses if "amazon-ecs-deploy-task-definition" in u]
    bad += [] if waits and str(waits[0]).lower() == "true" else ["it does not wait for the service"]
    return judged(not bad, expected="these names, after the tests, and it waits", observed=bad or "they agree")


@requirement("CI-02", title="Nobody reaches production by a push alone", severity=HIGH, guide=879)
def pipeline_gates(flow: Workflow, expect: BuildExpectation) -> Outcome:
    """The guide's table says manual and approved for main; its workflow deploys every push to main."""
    triggers = flow.get("on") or {}
    push = triggers.get("push") if isinstance(triggers, dict) else None
    branches = set((push or {}).get("branches") or []) if isinstance(push, dict) else set()
    listed = triggers if isinstance(triggers, list | dict) else [triggers]
    by_push = "push" in listed and (expect.production_branch in branches or not branches)
    lacking = [b for b in expect.automatic_branches if b not in branches]
    bad = [f"a push to {expect.production_branch} deploys"] if by_push else []
    bad += [f"nothing deploys {b}" for b in lacking]
    return judged(
        not bad,
        expected=f"{', '.join(expect.automatic_branches)} by push, {expect.production_branch} by hand",
        observed=bad or sorted(branches),
        remedy="on: {push: {branches: [develop, staging]}, workflow_dispatch: {}}; required reviewers on `production`",
    )


@requirement("CI-03", title="The pipeline holds no long-lived key and pins what it runs", severity=HIGH, guide=837)
def pipeline_identity(flow: Workflow) -> Outcome:
    """A stolen key deploys anything, a moved tag of an action runs anything, two runs at once deploy both."""
    job = flow.deploys
    rights = {**dict(flow.get("permissions") or {}), **dict(job.get("permissions") or {})}
    signs_in = [w for u, w in flow.uses if "configure-aws-credentials" in u]
    bad = (
        []
        if rights.get("id-token") == "write" and all("role-to-assume" in w for w in signs_in) and signs_in
        else ["it signs in with a stored key"]
    )
    loose = [u for u, _ in flow.uses if not re.search(r"@[0-9a-f]{40}$", u)]
    bad += [f"{u} is not pinned to a commit" for u in loose]
    bad += [] if flow.get("concurrency") or job.get("concurrency") else ["no concurrency group"]
    return judged(
        not bad,
        expected="id-token: write, role-to-assume, actions pinned by commit, a concurrency group",
        observed=bad or "all of it",
        remedy="permissions: {id-token: write, contents: read}; role-to-assume instead of aws-access-key-id",
    )
