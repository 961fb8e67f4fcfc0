"""Images, logs, service, scaling, alarms and the books (guide lines 262-410, 529-626, corrected)."""

from __future__ import annotations

import json
from typing import Any

from cutover.aws.remedy.command import aws, put
from cutover.aws.remedy.foundation import audit_bucket
from cutover.aws.remedy.step import Input, Place, step

HEALTH = (
    "node -e \"fetch('http://127.0.0.1:{port}{path}').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))\""
)
"""The container's own check: node:*-alpine has no curl, and `localhost` may be ::1 (guide line 384)."""


def _on_ecs(place: Place) -> bool:
    return place.m.compute == "ecs"


def _lower(place: Place) -> list[dict[str, str]]:
    return [{"key": t["Key"], "value": t["Value"]} for t in place.tags]


@step("repository", "the image repository, its tags immutable", mends="ECR-01..04 ECR-07 ECR-08", gives="REPOSITORY")
def repository(place: Place) -> str:
    """With a mutable `latest`, a rollback fetches the image it wanted to leave."""
    name = place.e.ecr.repository
    rule = {
        "rulePriority": 1,
        "description": "keep the last fifty releases",
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 50},
        "action": {"type": "expire"},
    }
    scan = {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}
    return "\n".join([
        put("ecr", "create_repository", {
            "repositoryName": name, "imageTagMutability": "IMMUTABLE",
            "imageScanningConfiguration": {"scanOnPush": True},
            "encryptionConfiguration": {"encryptionType": place.e.ecr.encryption[0]}, "tags": place.tags}),
        put("ecr", "put_lifecycle_policy", {
            "repositoryName": name, "lifecyclePolicyText": json.dumps({"rules": [rule]})}),
        put("ecr", "put_registry_scanning_configuration", {"scanType": "BASIC", "rules": [scan]})])  # fmt: skip


@step("logs", "the tasks' log group, kept for its time", mends="LOG-01 LOG-02 LOG-05 LOG-06", gives="LOGS")
def logs(place: Place) -> str:
    """A task whose log group is missing does not start."""
    name = place.e.logs.group
    count = {"metricName": "ApplicationErrors", "metricNamespace": "ShadowTwin", "metricValue": "1", "defaultValue": 0}
    return "\n".join([
        aws("logs", "create_log_group", {"logGroupName": name, "tags": {"Project": place.e.account.project_tag}}),
        aws("logs", "put_retention_policy", {"logGroupName": name, "retentionInDays": place.e.logs.retention_days}),
        aws("logs", "put_metric_filter", {
            "logGroupName": name, "filterName": "shadowtwin-errors", "filterPattern": "ERROR",
            "metricTransformations": [count]})])  # fmt: skip


_ENDPOINT = Input("ALERT_ENDPOINT", "who hears the alarms: a mail address, or with ALERT_PROTOCOL=sqs|https|… another")


@step("topic", "the topic that carries the alarms (a mail address must be confirmed by a click)", mends="ALM-12",
      gives="TOPIC", asks=(_ENDPOINT,))  # fmt: skip
def topic(place: Place) -> str:
    """An alarm that nobody hears is a coloured line."""
    made = {"Name": place.e.alarms.topic, "Tags": place.tags}
    return "\n".join([
        aws("sns", "create_topic", made, query="TopicArn", into="TOPIC"),
        'aws sns subscribe --topic-arn "$TOPIC" --protocol "${ALERT_PROTOCOL:-email}" '
        '--notification-endpoint "$ALERT_ENDPOINT" > /dev/null'])  # fmt: skip


def _dimensions(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": k, "Value": v} for k, v in values.items()]


def _query(name: str, metric: str) -> dict[str, Any]:
    on = _dimensions({"LoadBalancer": "$ON_BALANCER"})
    stat = {"Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": on},
            "Period": 60, "Stat": "Sum"}  # fmt: skip
    return {"Id": name, "MetricStat": stat, "ReturnData": False}


@step(
    "alarms",
    "the alarms, each with its dimensions, one for each rollback criterion",
    mends="ALM-01..11 X-14 X-07",
    needs="topic balancer target-group",
    gives="ALARMS",
)
def alarms(place: Place) -> str:
    """The guide's two have no dimensions: AWS publishes no such metrics, and they never fire."""
    a, topic = place.e.alarms, place.id("TOPIC")
    told = {"ActionsEnabled": True, "AlarmActions": [topic], "OKActions": [topic]}
    common = {**told, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
              "Tags": place.tags}  # fmt: skip
    slow = {"Period": a.period_s, "EvaluationPeriods": a.evaluation_periods, "Statistic": "Average"}
    service = {"ClusterName": place.e.ecs.cluster, "ServiceName": place.e.ecs.service}
    balancer = {"LoadBalancer": "$ON_BALANCER"}
    hosts = {**balancer, "TargetGroup": "$ON_GROUP"}
    alarms: list[dict[str, Any]] = [
        {"AlarmName": a.cpu, "Namespace": "AWS/ECS", "MetricName": "CPUUtilization", "Threshold": a.cpu_above,
         "Dimensions": _dimensions(service), **slow},
        {"AlarmName": a.database, "Namespace": "AWS/RDS", "MetricName": "DatabaseConnections",
         "Threshold": a.connections_above, "Dimensions": _dimensions({"DBInstanceIdentifier": place.e.rds.instance}),
         **slow},
        {"AlarmName": a.latency, "Namespace": "AWS/ApplicationELB", "MetricName": "TargetResponseTime",
         "Threshold": a.latency_above_s, "Dimensions": _dimensions(balancer), "ExtendedStatistic": "p95",
         "Period": 60, "EvaluationPeriods": 1},
        {"AlarmName": "shadowtwin-unhealthy-hosts", "Namespace": "AWS/ApplicationELB",
         "MetricName": "UnHealthyHostCount", "Threshold": 0, "Dimensions": _dimensions(hosts), "Statistic": "Maximum",
         "Period": 60, "EvaluationPeriods": 2},
        {"AlarmName": a.errors, "Threshold": a.errors_above_percent, "EvaluationPeriods": 5, "DatapointsToAlarm": 5,
         "Metrics": [
             {"Id": "rate", "Expression": "100 * FILL(errors, 0) / requests", "Label": "errors, %", "ReturnData": True},
             _query("errors", "HTTPCode_Target_5XX_Count"), _query("requests", "RequestCount")]},
    ]  # fmt: skip
    rule = " OR ".join(f'ALARM("{n}")' for n in (a.errors, a.latency, "shadowtwin-unhealthy-hosts"))
    composite = {"AlarmName": a.rollback, "AlarmDescription": "Any rollback criterion", "AlarmRule": rule, **told,
                 "Tags": place.tags}  # fmt: skip
    return "\n".join([
        f"BALANCER={place.id('BALANCER')} TARGET_GROUP={place.id('TARGET_GROUP')}",
        "ON_BALANCER=${BALANCER#*:loadbalancer/} ON_GROUP=${TARGET_GROUP##*:}",
        *(put("cloudwatch", "put_metric_alarm", {**common, **alarm}) for alarm in alarms),
        put("cloudwatch", "put_composite_alarm", composite)])  # fmt: skip


@step("cluster", "the ECS cluster, which the guide uses and never creates", mends="ECS-01 ECS-02", gives="CLUSTER",
      applies=_on_ecs)  # fmt: skip
def cluster(place: Place) -> str:
    """With Container Insights: task count and memory are not in CloudWatch without it."""
    return put("ecs", "create_cluster", {
        "clusterName": place.e.ecs.cluster, "settings": [{"name": "containerInsights", "value": "enabled"}],
        "capacityProviders": ["FARGATE"], "tags": _lower(place)})  # fmt: skip


@step("image", "the release's image: it is built and pushed elsewhere, and the script stops until it is there",
      mends="ECR-05 ECR-06", needs="repository", gives="IMAGE")  # fmt: skip
def image(place: Place) -> str:
    """A deployment of an image that is not there hangs in PROVISIONING until someone looks."""
    wanted, registry = place.m.release.image, f"{place.m.account_id}.dkr.ecr.{place.m.region}.amazonaws.com"
    name, _, digest = wanted.partition("@")
    identity = f"imageDigest={digest}" if digest else f"imageTag={name.rsplit(':', 1)[-1]}"
    return "\n".join([
        f"if ! aws ecr describe-images --repository-name {place.e.ecr.repository} --image-ids {identity} \\",
        "  > /dev/null; then",
        f"  echo 'The image {wanted} is not pushed yet. Build and push it:' >&2",
        f"  echo '  aws ecr get-login-password --region {place.m.region} | docker login --username AWS "
        f"--password-stdin {registry}' >&2",
        f"  echo '  docker build -t {name} . && docker push {name}' >&2",
        "  echo 'Then check the account again (02) and let cutover remedy write what is left.' >&2",
        "  exit 1",
        "fi"])  # fmt: skip


def _secret_arn(place: Place, variable: str, name: str) -> str:
    return aws("secretsmanager", "describe_secret", {"SecretId": name}, query="ARN", into=variable)


@step(
    "task-definition",
    "the task definition: image pinned, secrets by their full ARN, a health check that exists in the image",
    mends="TD-01..21 IAM-03 X-03 X-04 X-10",
    needs="image execution-role task-role logs database-secret redis-secret openai-secret email-secret hash-secret "
    "smtp-secret",
    gives="TASK_DEFINITION",
    applies=_on_ecs,
)
def task_definition(place: Place) -> str:
    """Nothing of it is secret: values stay in Secrets Manager."""
    e, m, s = place.e.ecs, place.m, place.e.secrets
    names = dict(zip(
        ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "ADMIN_EMAIL", "ADMIN_PASSWORD_HASH"),
        (s.database, s.redis, s.openai, s.admin_email, s.admin_password_hash), strict=True))  # fmt: skip
    injected = [{"name": n, "valueFrom": f"$ARN_{n}"} for n in e.secrets if n in names]
    fetched = [_secret_arn(place, f"ARN_{n}", names[n]) for n in e.secrets if n in names]
    if s.smtp:
        fetched.append(_secret_arn(place, "ARN_SMTP", s.smtp[0]))
        injected += [{"name": n, "valueFrom": "${ARN_SMTP}" + f":{n}::"} for n in e.smtp]
    interval, timeout, retries, start = e.health_check
    container = {
        "name": e.container,
        "image": m.release.image,
        "essential": True,
        "user": "1001",
        "readonlyRootFilesystem": True,
        "stopTimeout": 30,
        "portMappings": [{"containerPort": e.port, "hostPort": e.port, "protocol": "tcp"}],
        "environment": [
            {"name": k, "value": v} for k, v in {**e.environment, "APP_VERSION": m.release.version}.items()
        ],
        "secrets": injected,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": place.e.logs.group,
                "awslogs-region": m.region,
                "awslogs-stream-prefix": place.e.logs.stream_prefix,
            },
        },
        "healthCheck": {
            "command": ["CMD-SHELL", HEALTH.format(port=e.port, path=place.e.alb.health_path)],
            "interval": interval,
            "timeout": timeout,
            "retries": retries,
            "startPeriod": start,
        },
    }
    definition = {
        "family": e.task_definition,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": e.cpu,
        "memory": e.memory,
        "executionRoleArn": place.role(e.execution_role),
        "taskRoleArn": place.role(e.task_role),
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "containerDefinitions": [container],
        "tags": _lower(place),
    }
    register = aws("ecs", "register_task_definition", definition, query="taskDefinition.taskDefinitionArn",
                   into="TASK_DEFINITION")  # fmt: skip
    return "\n".join([*fetched, register])


@step(
    "service",
    "the service, whose failed roll-outs roll back",
    mends="SVC-01..17 TG-11 X-05 X-06 X-11 X-13 LOG-03",
    needs="task-definition cluster subnets ecs-group listeners alarms redis-group",
    gives="SERVICE",
    applies=_on_ecs,
)
def service(place: Place) -> str:
    """Logs, secrets, listener and alarms are there by now: in the guide's order its first tasks die."""
    e = place.e.ecs
    made = {
        "cluster": e.cluster,
        "serviceName": e.service,
        "taskDefinition": place.id("TASK_DEFINITION"),
        "desiredCount": e.desired_count,
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": place.ids("PRIVATE"),
                "securityGroups": [place.id("ECS_GROUP")],
                "assignPublicIp": "DISABLED",
            }
        },
        "loadBalancers": [
            {"targetGroupArn": place.id("TARGET_GROUP"), "containerName": e.container, "containerPort": e.port}
        ],
        "deploymentConfiguration": {
            "maximumPercent": e.maximum_percent,
            "minimumHealthyPercent": e.minimum_healthy_percent,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            "alarms": {
                "alarmNames": [place.e.alarms.errors, place.e.alarms.latency],
                "enable": True,
                "rollback": True,
            },
        },
        "healthCheckGracePeriodSeconds": e.grace_period_s,
        "enableExecuteCommand": False,
        "propagateTags": "SERVICE",
        "tags": _lower(place),
    }
    return "\n".join([
        put("ecs", "create_service", made),
        f"aws ecs wait services-stable --cluster {e.cluster} --services {e.service} \\",
        '  || LEFT="$LEFT\n'
        f'SVC-03: the tasks do not run yet: aws ecs describe-services --cluster {e.cluster} --services {e.service}"',
    ])  # fmt: skip


@step("scaling", "two to twenty tasks, by CPU and memory", mends="ASG-01..05 X-09", needs="service", gives="SCALING",
      applies=_on_ecs)  # fmt: skip
def scaling(place: Place) -> str:
    """Target tracking makes its own alarms."""
    e = place.e.scaling
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": f"service/{place.e.ecs.cluster}/{place.e.ecs.service}",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    policies = ((e.cpu_policy, "ECSServiceAverageCPUUtilization", e.cpu_target),
                (e.memory_policy, "ECSServiceAverageMemoryUtilization", e.memory_target))  # fmt: skip
    lines = [put("application-autoscaling", "register_scalable_target", {
        **target, "MinCapacity": e.minimum, "MaxCapacity": e.maximum})]  # fmt: skip
    for name, metric, value in policies:
        how = {"TargetValue": value, "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
               "ScaleOutCooldown": e.scale_out_cooldown_s, "ScaleInCooldown": e.scale_in_cooldown_s}  # fmt: skip
        lines.append(put("application-autoscaling", "put_scaling_policy", {
            **target, "PolicyName": name, "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": how}))  # fmt: skip
    return "\n".join(lines)


@step(
    "dashboard", "one page with tasks, database, balancer and queue", mends="DSH-01", needs="alarms", gives="DASHBOARD"
)
def dashboard(place: Place) -> str:
    """On the day, everyone looks at one page."""
    e = place.e
    metrics = {
        "ECS": ["AWS/ECS", "CPUUtilization", "ClusterName", e.ecs.cluster, "ServiceName", e.ecs.service],
        "RDS": ["AWS/RDS", "DatabaseConnections", "DBInstanceIdentifier", e.rds.instance],
        "Balancer": ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", "$ON_BALANCER"],
        "ElastiCache": ["AWS/ElastiCache", "CurrConnections", "CacheClusterId", f"{e.redis.replication_group}-001"],
    }
    widgets = [
        {"type": "metric", "x": 12 * (n % 2), "y": 6 * (n // 2), "width": 12, "height": 6,
         "properties": {"title": title, "metrics": [metric], "region": place.m.region, "period": 60,
                        "stat": "Average"}}
        for n, (title, metric) in enumerate(metrics.items())
    ]  # fmt: skip
    return "\n".join([
        f"BALANCER={place.id('BALANCER')}",
        "ON_BALANCER=${BALANCER#*:loadbalancer/}",
        put("cloudwatch", "put_dashboard", {
            "DashboardName": e.alarms.dashboard, "DashboardBody": json.dumps({"widgets": widgets})})])  # fmt: skip


@step("budget", "a budget over the month's cost", mends="ACC-04", gives="BUDGET",
      applies=lambda place: place.e.account.budget)  # fmt: skip
def budget(place: Place) -> str:
    """Without one, a forgotten restore is noticed on the invoice."""
    limit = {"BudgetName": f"{place.m.name}-monthly", "BudgetLimit": {"Amount": "${BUDGET_USD:-900}", "Unit": "USD"},
             "TimeUnit": "MONTHLY", "BudgetType": "COST"}  # fmt: skip
    return put("budgets", "create_budget", {"AccountId": place.m.account_id, "Budget": limit})


@step("trail", "a trail of every region", mends="ACC-05", needs="audit", gives="TRAIL")
def trail(place: Place) -> str:
    """Who changed what in the night of the migration is answered here or nowhere."""
    name = f"{place.m.name}-trail"
    made = {"Name": name, "S3BucketName": audit_bucket(place), "IsMultiRegionTrail": True, "TagsList": place.tags}
    return "\n".join([put("cloudtrail", "create_trail", made), aws("cloudtrail", "start_logging", {"Name": name})])


@step("tags", "the project's tag, which every resource of this script gets", mends="ACC-07",
      needs="database service listeners", gives="TAGS", applies=_on_ecs)  # fmt: skip
def tags(place: Place) -> str:
    """Cost, drift and clean-up are counted by it."""
    return "# nothing to do: what this script makes carries Project=" + place.e.account.project_tag
