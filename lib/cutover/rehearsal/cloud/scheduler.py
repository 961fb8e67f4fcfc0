"""The ECS service scheduler: deployments that roll out task by task, complete, fail, and roll back.

Written after the Developer Guide, "Amazon ECS rolling update deployments" and "How the deployment circuit breaker
detects failures" (threshold: half the desired count, at least 3, at most 200).
"""

from __future__ import annotations

import math
import threading
import time
import uuid

from cutover.rehearsal.cloud.rollout import (
    Deployment,
    Revision,
    Service,
    ServiceDeployment,
    Task,
    TaskFailedToStart,
    World,
    now,
)
from cutover.rehearsal.cloud.tasks import State


class Scheduler:
    """One thread that brings every service to what is wanted of it.

    Args:
        world: how tasks start, register and end.
        pace_s: seconds between two looks while something is under way.
    """

    def __init__(self, world: World, *, pace_s: float = 0.1) -> None:
        self.lock = threading.RLock()
        self.services: dict[str, Service] = {}
        self._world, self._pace = world, pace_s
        self._wake = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ecs-scheduler", daemon=True)
        self._thread.start()

    def add(self, service: Service, revision: Revision) -> Deployment:
        """Take on a new service and begin its first deployment."""
        with self.lock:
            self.services[service.arn] = service
            return self.deploy(service, revision)

    def deploy(self, service: Service, revision: Revision) -> Deployment:
        """Begin a deployment; what was PRIMARY becomes ACTIVE until its tasks are gone."""
        with self.lock:
            source = service.last_good
            for before in {d.history for d in service.deployments if d.state == "IN_PROGRESS"}:
                before.set("STOPPED", "superseded by a newer deployment", over=True)
            arn = service.arn.replace(":service/", ":service-deployment/", 1) + f"/{uuid.uuid4().hex[:21]}"
            history = ServiceDeployment(arn, revision, source, now())
            deployment = Deployment(revision, history)
            deployment.set("IN_PROGRESS", f"ECS deployment {deployment.id} in progress.")
            service.history.insert(0, history)
            service.deployments.insert(0, deployment)
            service.steady = False
            self._world.changed(service)
        self._wake.set()
        return deployment

    def scale(self, service: Service, desired: int) -> None:
        """Change how many tasks are wanted; no deployment of its own."""
        with self.lock:
            service.desired, service.steady = desired, False
            self._world.changed(service)
        self._wake.set()

    def end_deployment(self, service: Service, *, rollback: bool, reason: str) -> None:
        """Stop the deployment that is under way, with or without going back to the last good revision."""
        with self.lock:
            self._fail(service, reason, rollback=rollback)
            self._world.changed(service)
        self._wake.set()

    def stop_task(self, service: Service, task: Task, reason: str) -> None:
        """Stop one task on request; the service starts another."""
        with self.lock:
            self._stop(service, task, "UserInitiated", reason)
            service.steady = False
            self._world.changed(service)
        self._wake.set()

    def remove(self, service: Service) -> None:
        """Stop a deleted service's tasks."""
        with self.lock:
            self.services.pop(service.arn, None)
            for task in service.alive():
                self._stop(service, task, "ServiceSchedulerInitiated", "Scaling activity initiated by deletion")
            self._world.changed(service)

    def close(self, timeout_s: float = 12.0) -> None:
        """Stop every task and the thread."""
        self._over.set()
        self._wake.set()
        self._thread.join(timeout=5)
        with self.lock:
            stopping = [self._stop(s, t, "", "the stage ends") for s in self.services.values() for t in s.alive()]
        end = time.monotonic() + timeout_s
        for thread in filter(None, stopping):
            thread.join(timeout=max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while not self._over.is_set():
            busy = False
            with self.lock:
                for service in list(self.services.values()):
                    if self._step(service):
                        busy = True
                        self._world.changed(service)
            self._wake.wait(self._pace if busy else 5 * self._pace)
            if self._wake.is_set():
                self._wake.clear()
                time.sleep(self._pace)

    def _step(self, service: Service) -> bool:
        """One look at one service; True while something moves."""
        moved = self._observe(service)
        primary = service.primary
        if primary.state == "FAILED":
            return moved
        moved |= self._start_missing(service, primary)
        moved |= self._retire(service, primary)
        if primary.state == "IN_PROGRESS":
            self._judge(service, primary)
            moved = True
        self._note_steady(service, primary)
        return moved or not service.steady

    def _observe(self, service: Service) -> bool:
        moved = False
        for task in service.alive():
            if task.running is None:
                continue
            state = task.running.state
            if state in (State.STOPPED, State.UNHEALTHY):
                code = "EssentialContainerExited" if state is State.STOPPED else "ServiceSchedulerInitiated"
                reason = f"Task {task.running.reason}" if state is State.UNHEALTHY else task.running.reason
                task.health = "UNHEALTHY"
                service.say(f"task {task.id} is unhealthy: {task.running.reason}.")
                self._failed(service, task.deployment)
                self._stop(service, task, code, reason)
                service.steady, moved = False, True
            elif state is State.HEALTHY and not task.healthy:
                task.last_status, task.health, task.started = "RUNNING", "HEALTHY", now()
                self._world.register(service, task)
                task.registered, moved = True, True
                service.say("registered 1 targets in its target groups.")
        return moved

    def _start_missing(self, service: Service, primary: Deployment) -> bool:
        ceiling = max(1, math.ceil(service.desired * service.configuration.get("maximumPercent", 200) / 100))
        wanted = service.desired - len(service.alive(primary))
        for task in service.alive(primary)[service.desired :]:
            self._stop(service, task, "ServiceSchedulerInitiated", "Scaling activity initiated by the service")
        room = ceiling - len([t for t in service.tasks if t.alive])
        if wanted <= 0 or room <= 0 or time.monotonic() < primary.not_before:
            return wanted > 0
        for _ in range(min(wanted, room)):
            try:
                task = self._world.launch(service, primary)
            except TaskFailedToStart as error:
                service.say(f"was unable to start a task: {error}")
                self._failed(service, primary)
                break
            service.tasks.append(task)
            service.say(f"has started 1 tasks: (task {task.id}).")
        return True

    def _failed(self, service: Service, deployment: Deployment) -> None:
        """Count a failed task; the next one waits longer each time."""
        deployment.failed += 1
        deployment.updated = now()
        deployment.history.failures = deployment.failed
        if deployment.state != "COMPLETED":
            deployment.not_before = time.monotonic() + min(30.0, self._pace * 2**deployment.failed)

    def _retire(self, service: Service, primary: Deployment) -> bool:
        """Stop tasks of older deployments as far as the healthy minimum allows."""
        floor = math.ceil(service.desired * service.configuration.get("minimumHealthyPercent", 100) / 100)
        old = [t for t in service.alive() if t.deployment is not primary]
        healthy = len([t for t in service.alive() if t.healthy])
        for task in sorted(old, key=lambda t: t.healthy):
            if task.healthy:
                if healthy - 1 < floor:
                    continue
                healthy -= 1
            service.say(f"has stopped 1 running tasks: (task {task.id}).")
            self._stop(
                service, task, "ServiceSchedulerInitiated", "Scaling activity initiated by deployment " + primary.id
            )
        left = {t.deployment for t in service.tasks if t.alive}
        service.deployments = [d for d in service.deployments if d is primary or d in left or d.state == "FAILED"]
        return bool(old)

    def _judge(self, service: Service, primary: Deployment) -> None:
        breaker = service.configuration.get("deploymentCircuitBreaker") or {}
        alarms = service.configuration.get("alarms") or {}
        names = list(alarms.get("alarmNames", [])) if alarms.get("enable") else []
        ringing = self._world.alarming(names) if names and not primary.is_rollback else []
        if ringing:
            self._fail(service, f"alarm detected: {', '.join(ringing)}", rollback=bool(alarms.get("rollback")))
        elif primary.failed >= service.breaker_threshold and breaker.get("enable"):
            back = bool(breaker.get("rollback")) and not primary.is_rollback
            self._fail(service, "ECS deployment circuit breaker: tasks failed to start.", rollback=back)
        elif len([t for t in service.alive(primary) if t.healthy]) >= service.desired and not [
            t for t in service.tasks if t.alive and t.deployment is not primary
        ]:
            primary.set("COMPLETED", f"ECS deployment {primary.id} completed.")
            service.deployments = [primary]
            service.last_good = primary.revision
            done = "ROLLBACK_SUCCESSFUL" if primary.is_rollback else "SUCCESSFUL"
            primary.history.set(done, primary.history.reason if primary.is_rollback else "", over=True)
            service.say(f"(deployment {primary.id}) deployment completed.")

    def _fail(self, service: Service, reason: str, *, rollback: bool) -> None:
        failed = service.primary
        failed.set("FAILED", reason)
        service.say(f"(deployment {failed.id}) deployment failed: {reason}")
        history, good = failed.history, service.last_good
        if failed.is_rollback or not rollback or good is None:
            history.set("ROLLBACK_FAILED" if failed.is_rollback else "STOPPED", reason, over=True)
            return
        history.set("ROLLBACK_IN_PROGRESS", reason)
        history.rollback = {"reason": reason, "startedAt": now(), "serviceRevisionArn": good.arn}
        before = next((d for d in service.deployments[1:] if d.revision is good), None)
        back = Deployment(good, history, is_rollback=True)
        back.set("IN_PROGRESS", f"{reason} Rolling back to {before.id if before else good.task_definition}.")
        for task in service.tasks:
            if before is not None and task.deployment is before:
                task.deployment = back
        service.deployments = [back, *(d for d in service.deployments if d is not before)]
        service.say(f"rolling back to deployment {before.id if before else back.id}.")

    def _note_steady(self, service: Service, primary: Deployment) -> None:
        settled = primary.state == "COMPLETED" and len([t for t in service.alive() if t.healthy]) == service.desired
        if settled and not service.steady:
            service.say("has reached a steady state.")
            service.steady = True

    def _stop(self, service: Service, task: Task, code: str, reason: str) -> threading.Thread | None:
        """Deregister, then end the process beside the scheduler, which must not wait for it."""
        if task.desired_status == "STOPPED":
            return None
        if task.registered:
            self._world.deregister(service, task)
            task.registered = False
        task.desired_status, task.stop_code, task.stopped_reason = "STOPPED", code, reason
        task.last_status = "DEPROVISIONING" if task.running else "STOPPED"

        def end() -> None:
            if task.running is not None:
                task.running.stop()
            with self.lock:
                task.last_status, task.stopped = "STOPPED", now()
                self._world.ended(service, task)
                over = [t for t in service.tasks if not t.alive]
                for old in over[:-20]:
                    service.tasks.remove(old)
            self._wake.set()

        thread = threading.Thread(target=end, name=f"stop-{task.id}", daemon=True)
        thread.start()
        return thread
