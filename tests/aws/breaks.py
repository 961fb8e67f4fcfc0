"""For each requirement one attribute that makes it flip: the table that the mutation test of the checker runs.

A break names the call (and, in brackets, a word of its arguments), a dotted path in its answer and the broken value;
`...` takes the field away. `of` is the account that it is broken in: the corrected architecture on ECS, the same on
EC2 (option A), or with a single Redis node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cutover.aws.problem import Problem


@dataclass(frozen=True)
class Break:
    """One attribute, broken."""

    id: str
    call: str
    path: str
    value: Any
    of: str = "ecs"
    phase: str = "review"


def gone(identifier: str, call: str, of: str = "ecs") -> Break:
    """The whole thing taken away: AWS does not find it."""
    return Break(identifier, call, "", Problem.NOT_FOUND, of)


RDS, TASK = "rds.describe_db_instances[shadowtwin-prod]", "ecs.describe_task_definition[:2]"
REPLICA = "rds.describe_db_instances[shadowtwin-read-replica]"
DR = "rds.describe_db_instances[shadowtwin-dr-replica]"
ALB, LSN = "elbv2.describe_load_balancers", "elbv2.describe_listeners"
TG, BLUE = 'elbv2.describe_target_groups["shadowtwin-tg"]', "elbv2.describe_target_groups[shadowtwin-tg-blue]"
ATTRIBUTES = "elbv2.describe_load_balancer_attributes"
RED, MEMBERS, SVC = (
    "elasticache.describe_replication_groups",
    "elasticache.describe_cache_clusters",
    "ecs.describe_services",
)
CONTAINER = "taskDefinition.containerDefinitions.name=shadowtwin"
HTTPS, HTTP = "Listeners.Port=443", "Listeners.Port=80"
GROUPS, SUBNETS, ROUTES = "ec2.describe_security_groups", "ec2.describe_subnets", "ec2.describe_route_tables"
DATABASE, REDIS = (
    "secretsmanager.describe_secret[shadowtwin/database]",
    "secretsmanager.describe_secret[shadowtwin/redis]",
)
DATABASE_URL = "secretsmanager.get_secret_value[shadowtwin/database]"
REDIS_URL = "secretsmanager.get_secret_value[shadowtwin/redis]"
ALARMS, CPU = "cloudwatch.describe_alarms", "MetricAlarms.AlarmName=shadowtwin-high-cpu"
CONNECTIONS = "MetricAlarms.AlarmName=shadowtwin-db-connections"
SCALING = "application-autoscaling.describe_scaling_policies"
TARGET = "application-autoscaling.describe_scalable_targets"
METRICS = "cloudwatch.get_metric_data"
MACHINE = "ec2.describe_instances"
I0 = "Reservations.*.Instances.0"
DOCKER, FLOW = "files.read[Dockerfile]", "files.read[deploy.yml]"
LONG_AGO = "2020-01-01T00:00:00+00:00"
WORLD = [{"CidrIp": "0.0.0.0/0"}]


def inbound(port: int, **source: Any) -> dict[str, Any]:
    """One permission of a security group."""
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}


SCAN = "ecr.describe_image_scan_findings"
GUIDE_POLICY = {"Statement": [{"Effect": "Allow", "Action": ["ec2:*", "rds:*", "iam:PassRole"], "Resource": "*"}]}
EVENT = {"EventCategories": ["failover"], "Message": "Multi-AZ failover completed", "Date": LONG_AGO}
RANG = {"AlarmName": "shadowtwin-error-rate", "HistorySummary": "Alarm updated from OK to ALARM",
        "Timestamp": "2999-01-01T00:00:00+00:00"}  # fmt: skip
OLD_KEY = {"UserName": "ci", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Active", "CreateDate": LONG_AGO}
MAINTENANCE = {"RuleArn": "arn:x", "IsDefault": False, "Actions": [{"Type": "fixed-response"}]}
TOO_MANY = [{"message": f"ERROR {n}"} for n in range(20)]

BREAKS = [
    Break("ACC-01", "sts.get_caller_identity", "Account", "999999999999"),
    Break("ACC-02", "iam.simulate_principal_policy[ecs:UpdateService]", "EvaluationResults.*.EvalDecision", "implicitDeny"),
    Break("ACC-03", "service-quotas.get_service_quota", "Quota.Value", 6.0),
    Break("ACC-04", "budgets.describe_budgets", "Budgets", []),
    Break("ACC-05", "cloudtrail.describe_trails", "trailList.*.IsMultiRegionTrail", False),
    Break("ACC-07", "resourcegroupstaggingapi.get_resources", "ResourceTagMappingList", [{"ResourceARN": "arn:aws:s3:::x"}]),
    Break("ACC-08", "ec2.describe_availability_zones", "AvailabilityZones.*.State", "impaired"),
    Break("NET-01", "ec2.describe_vpcs", "Vpcs.*.State", "pending"),
    Break("NET-02", SUBNETS, "Subnets.*.AvailabilityZone", "us-east-1a"),
    Break("NET-03", ROUTES, "RouteTables.*.Routes.*.State", "blackhole"),
    Break("NET-04", ROUTES, "RouteTables.*.Routes.*.NatGatewayId", ...),
    Break("NET-05", "ec2.describe_nat_gateways", "NatGateways.0.State", "failed"),
    Break("NET-06", SUBNETS, "Subnets.*.MapPublicIpOnLaunch", True),
    Break("NET-07", "ec2.describe_vpc_attribute", "EnableDnsHostnames.Value", False),
    Break("NET-08", "ec2.describe_network_acls", "NetworkAcls.*.Entries.*.RuleAction", "deny"),
    Break("NET-09", "ec2.describe_flow_logs", "FlowLogs.*.FlowLogStatus", "FAILED"),
    Break("NET-10", "ec2.describe_vpc_endpoints", "VpcEndpoints.*.ServiceName", "com.amazonaws.us-east-1.ecr"),
    Break("NET-11", SUBNETS, "Subnets.*.AvailableIpAddressCount", 15),
    Break("SG-01", GROUPS, "SecurityGroups.GroupName=shadowtwin-alb-sg.IpPermissions",
          [inbound(80, IpRanges=WORLD)]),
    Break("SG-02", GROUPS, "SecurityGroups.GroupName=shadowtwin-alb-sg.IpPermissions", [inbound(443, IpRanges=WORLD)]),
    Break("SG-03", GROUPS, "SecurityGroups.GroupName=shadowtwin-ecs-sg.IpPermissions", []),
    Break("SG-04", GROUPS, "SecurityGroups.GroupName=shadowtwin-rds-sg.IpPermissions", []),
    Break("SG-05", GROUPS, "SecurityGroups.GroupName=shadowtwin-redis-sg.IpPermissions", []),
    Break("SG-06", GROUPS, "SecurityGroups.GroupName=shadowtwin-rds-sg.IpPermissions.0.IpRanges", WORLD),
    Break("SG-07", GROUPS, "SecurityGroups.GroupName=shadowtwin-redis-sg.VpcId", "vpc-default"),
    Break("SG-09", "ec2.describe_network_interfaces", "NetworkInterfaces.*.Groups", [{"GroupId": "sg-default"}]),
    Break("RDS-01", RDS, "DBInstances.0.DBInstanceStatus", "modifying"),
    Break("RDS-02", RDS, "DBInstances.0.Engine", "mysql"),
    Break("RDS-03", RDS, "DBInstances.0.EngineVersion", "15.7"),
    Break("RDS-04", RDS, "DBInstances.0.DBInstanceClass", "db.m7g.large"),
    Break("RDS-05", RDS, "DBInstances.0.AllocatedStorage", 20),
    Break("RDS-06", RDS, "DBInstances.0.StorageType", "gp2"),
    Break("RDS-07", RDS, "DBInstances.0.MaxAllocatedStorage", ...),
    Break("RDS-08", RDS, "DBInstances.0.Iops", 1000),
    Break("RDS-09", RDS, "DBInstances.0.MultiAZ", False),
    Break("RDS-10", RDS, "DBInstances.0.SecondaryAvailabilityZone", "us-east-1a"),
    Break("RDS-11", RDS, "DBInstances.0.StorageEncrypted", False),
    Break("RDS-12", RDS, "DBInstances.0.KmsKeyId", "default"),
    Break("RDS-13", RDS, "DBInstances.0.DeletionProtection", False),
    Break("RDS-14", RDS, "DBInstances.0.BackupRetentionPeriod", 0),
    Break("RDS-15", RDS, "DBInstances.0.PreferredBackupWindow", "12:00-13:00"),
    Break("RDS-16", RDS, "DBInstances.0.PreferredMaintenanceWindow", "sun:03:30-sun:04:30"),
    Break("RDS-17", RDS, "DBInstances.0.DBParameterGroups.0.ParameterApplyStatus", "pending-reboot"),
    Break("RDS-18", "rds.describe_db_parameters", "Parameters.ParameterName=rds\\.force_ssl.ParameterValue", "0"),
    Break("RDS-19", RDS, "DBInstances.0.PubliclyAccessible", True),
    Break("RDS-20", RDS, "DBInstances.0.VpcSecurityGroups.0.Status", "removing"),
    Break("RDS-21", RDS, "DBInstances.0.DBSubnetGroup.DBSubnetGroupName", "default"),
    Break("RDS-22", "rds.describe_db_subnet_groups", "DBSubnetGroups.0.Subnets.*.SubnetIdentifier", "subnet-public"),
    Break("RDS-23", RDS, "DBInstances.0.MasterUsername", "postgres"),
    Break("RDS-24", RDS, "DBInstances.0.DBName", ...),
    Break("RDS-25", RDS, "DBInstances.0.PerformanceInsightsEnabled", False),
    Break("RDS-26", RDS, "DBInstances.0.MonitoringInterval", 0),
    Break("RDS-27", RDS, "DBInstances.0.EnabledCloudwatchLogsExports", []),
    Break("RDS-28", RDS, "DBInstances.0.PendingModifiedValues", {"MultiAZ": True}),
    Break("RDS-29", RDS, "DBInstances.0.CertificateDetails.ValidTill", LONG_AGO),
    Break("RDS-30", RDS, "DBInstances.0.LatestRestorableTime", LONG_AGO),
    Break("RDS-31", RDS, "DBInstances.0.CopyTagsToSnapshot", False),
    Break("RDS-32", RDS, "DBInstances.0.AutoMinorVersionUpgrade", ...),
    Break("RDS-33", RDS, "DBInstances.0.MasterUserSecret", ...),
    Break("RDS-34", DATABASE_URL, "SecretFacts.host", "old.example"),
    Break("RDS-35", RDS, "DBInstances.0.ReadReplicaDBInstanceIdentifiers", []),
    Break("RDS-36", REPLICA, "DBInstances.0.DBInstanceStatus", "creating"),
    Break("RDS-37", REPLICA, "DBInstances.0.StatusInfos.0.Status", "stopped"),
    Break("RDS-38", DR, "DBInstances.0.ReadReplicaSourceDBInstanceIdentifier", "arn:aws:rds:us-east-1:1:db:other"),
    Break("RDS-39", "rds.describe_db_snapshots", "DBSnapshots.*.Status", "creating"),
    Break("RDS-40", "rds.describe_db_instance_automated_backups", "DBInstanceAutomatedBackups.*.Status", "retained"),
    Break("RDS-41", "rds.describe_pending_maintenance_actions", "PendingMaintenanceActions",
          [{"PendingMaintenanceActionDetails": [{"Action": "system-update"}]}]),
    Break("RDS-42", "rds.describe_db_engine_versions", "DBEngineVersions.*.Status", "deprecated"),
    Break("RDS-43", "rds.describe_orderable_db_instance_options", "OrderableDBInstanceOptions.*.MultiAZCapable", False),
    Break("RDS-44", "rds.describe_events", "Events", [EVENT]),
    Break("RDS-45", "rds.describe_db_log_files", "DescribeDBLogFiles.*.LastWritten", 1_500_000_000_000),
    Break("RED-01", RED, "ReplicationGroups.0.Status", "modifying"),
    Break("RED-02", RED, "ReplicationGroups.0.AutomaticFailover", "disabled"),
    Break("RED-03", RED, "ReplicationGroups.0.MultiAZ", "disabled"),
    Break("RED-04", RED, "ReplicationGroups.0.MemberClusters", ["shadowtwin-redis-cluster-001"]),
    Break("RED-05", RED, "ReplicationGroups.0.CacheNodeType", "cache.t3.micro"),
    Break("RED-06", RED, "ReplicationGroups.0.AtRestEncryptionEnabled", False),
    Break("RED-07", RED, "ReplicationGroups.0.TransitEncryptionEnabled", False),
    Break("RED-08", RED, "ReplicationGroups.0.TransitEncryptionMode", "preferred"),
    Break("RED-09", RED, "ReplicationGroups.0.AuthTokenEnabled", False),
    Break("RED-10", RED, "ReplicationGroups.0.ClusterEnabled", True),
    Break("RED-11", RED, "ReplicationGroups.0.SnapshotRetentionLimit", 0),
    Break("RED-12", REDIS_URL, "SecretFacts.host", "old.example"),
    Break("RED-13", RED, "ReplicationGroups.0.NodeGroups.*.NodeGroupMembers.*.PreferredAvailabilityZone", "us-east-1a"),
    Break("RED-14", f"{MEMBERS}[-001]", "CacheClusters.0.EngineVersion", "6.2.6"),
    Break("RED-15", f"{MEMBERS}[-001]", "CacheClusters.0.CacheSubnetGroupName", "default"),
    Break("RED-16", f"{MEMBERS}[-001]", "CacheClusters.0.SecurityGroups.0.SecurityGroupId", "sg-default"),
    Break("RED-17", "elasticache.describe_cache_parameters", "Parameters.ParameterName=maxmemory-policy.ParameterValue",
          "volatile-lru"),
    Break("RED-18", MEMBERS, "CacheClusters.0.CacheNodeType", "cache.t3.micro", "node"),
    Break("RED-19", MEMBERS, "CacheClusters.0.SecurityGroups", [{"SecurityGroupId": "sg-default"}], "node"),
    Break("RED-20", MEMBERS, "CacheClusters.0.CacheNodes", [], "node"),
    Break("RED-21", "elasticache.describe_cache_subnet_groups",
          "CacheSubnetGroups.0.Subnets.*.SubnetAvailabilityZone.Name", "us-east-1a"),
    Break("RED-22", "elasticache.describe_update_actions", "UpdateActions",
          [{"ServiceUpdateName": "x", "ServiceUpdateSeverity": "critical"}]),
    Break("RED-23", "elasticache.describe_cache_engine_versions", "CacheEngineVersions", []),
    Break("SEC-01", DATABASE, "DeletedDate", LONG_AGO),
    Break("SEC-02", REDIS, "VersionIdsToStages", {}),
    Break("SEC-03", "secretsmanager.describe_secret[shadowtwin/openai]", "VersionIdsToStages", {}),
    Break("SEC-04", "secretsmanager.describe_secret[shadowtwin/admin-email]", "VersionIdsToStages", {}),
    Break("SEC-05", "secretsmanager.describe_secret[shadowtwin/admin-password-hash]", "VersionIdsToStages", {}),
    Break("SEC-06", "secretsmanager.describe_secret[shadowtwin/smtp]", "VersionIdsToStages", {}),
    Break("SEC-07", DATABASE, "RotationEnabled", False),
    Break("SEC-08", DATABASE, "NextRotationDate", LONG_AGO),
    Break("SEC-09", REDIS, "LastChangedDate", LONG_AGO),
    Break("SEC-10", DATABASE_URL, "SecretFacts.sslmode", "disable"),
    Break("SEC-11", REDIS_URL, "SecretFacts.scheme", "redis"),
    Break("SEC-12", "secretsmanager.get_secret_value[admin-password-hash]", "SecretFacts", {"kind": "text"}),
    Break("SEC-13", DATABASE, "VersionIdsToStages", {"a": ["AWSCURRENT"], "b": ["AWSPENDING"]}),
    Break("SEC-14", "secretsmanager.get_resource_policy", "ResourcePolicy",
          '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:GetSecretValue"}]}'),
    Break("SEC-15", "lambda.get_function_configuration", "VpcConfig.SubnetIds", []),
    Break("ECR-01", "ecr.describe_repositories", "repositories.0.repositoryUri", "1.dkr.ecr.us-east-1.amazonaws.com/x"),
    Break("ECR-02", "ecr.describe_repositories", "repositories.0.imageScanningConfiguration.scanOnPush", False),
    Break("ECR-03", "ecr.describe_repositories", "repositories.0.encryptionConfiguration.encryptionType", "NONE"),
    Break("ECR-04", "ecr.describe_repositories", "repositories.0.imageTagMutability", "MUTABLE"),
    Break("ECR-05", "ecr.describe_images[1.0.0]", "imageDetails.*.imageDigest", ""),
    Break("ECR-06", SCAN, "imageScanFindings.findingSeverityCounts", {"CRITICAL": 1}),
    gone("ECR-07", "ecr.get_lifecycle_policy"),
    Break("ECR-08", "ecr.get_registry_scanning_configuration", "scanningConfiguration.rules", []),
    Break("ACM-01", "acm.describe_certificate", "Certificate.Status", "PENDING_VALIDATION"),
    Break("ACM-02", "acm.describe_certificate", "Certificate.SubjectAlternativeNames", ["other.example"]),
    Break("ACM-03", "acm.describe_certificate", "Certificate.NotAfter", LONG_AGO),
    Break("ACM-04", "acm.describe_certificate", "Certificate.InUseBy", []),
    Break("ACM-05", "acm.describe_certificate", "Certificate.DomainValidationOptions.*.ValidationMethod", "EMAIL"),
    Break("ALB-01", ALB, "LoadBalancers.0.State.Code", "provisioning"),
    Break("ALB-02", ALB, "LoadBalancers.0.Scheme", "internal"),
    Break("ALB-03", ALB, "LoadBalancers.0.Type", "network"),
    Break("ALB-04", ALB, "LoadBalancers.0.AvailabilityZones.*.ZoneName", "us-east-1a"),
    Break("ALB-05", ALB, "LoadBalancers.0.SecurityGroups", ["sg-default"]),
    Break("ALB-06", ALB, "LoadBalancers.0.VpcId", "vpc-default"),
    Break("ALB-07", ATTRIBUTES, "Attributes.Key=deletion_protection\\.enabled.Value", "false"),
    Break("ALB-08", ATTRIBUTES, "Attributes.Key=access_logs\\.s3\\.enabled.Value", "false"),
    Break("ALB-09", ATTRIBUTES, "Attributes.Key=idle_timeout\\.timeout_seconds.Value", "62"),
    Break("ALB-10", ATTRIBUTES, "Attributes.Key=routing\\.http\\.drop_invalid_header_fields\\.enabled.Value", "false"),
    Break("TG-01", TG, "TargetGroups.0.Protocol", "HTTPS"),
    Break("TG-02", TG, "TargetGroups.0.TargetType", "instance"),
    Break("TG-03", TG, "TargetGroups.0.HealthCheckPath", "/"),
    Break("TG-04", TG, "TargetGroups.0.HealthCheckIntervalSeconds", 20),
    Break("TG-05", TG, "TargetGroups.0.HealthCheckTimeoutSeconds", 10),
    Break("TG-06", TG, "TargetGroups.0.HealthyThresholdCount", 5),
    Break("TG-07", TG, "TargetGroups.0.UnhealthyThresholdCount", 2),
    Break("TG-08", TG, "TargetGroups.0.Matcher.HttpCode", "200-499"),
    Break("TG-09", TG, "TargetGroups.0.HealthCheckEnabled", False),
    Break("TG-10", TG, "TargetGroups.0.LoadBalancerArns", []),
    Break("TG-11", "elbv2.describe_target_health", "TargetHealthDescriptions.0.TargetHealth.State", "unhealthy"),
    Break("TG-12", "elbv2.describe_target_group_attributes[targetgroup/shadowtwin-tg/]",
          "Attributes.Key=deregistration_delay\\.timeout_seconds.Value", "300"),
    Break("TG-13", BLUE, "TargetGroups.0.TargetType", "instance"),
    Break("LSN-01", LSN, f"{HTTPS}.Protocol", "HTTP"),
    Break("LSN-02", LSN, f"{HTTPS}.DefaultActions", [{"Type": "fixed-response"}]),
    Break("LSN-03", LSN, f"{HTTPS}.Certificates", []),
    Break("LSN-04", LSN, f"{HTTPS}.SslPolicy", "ELBSecurityPolicy-2016-08"),
    Break("LSN-05", LSN, f"{HTTP}.DefaultActions.0.RedirectConfig.StatusCode", "HTTP_302"),
    Break("LSN-06", "elbv2.describe_rules", "Rules", [MAINTENANCE]),
    Break("LSN-07", "elbv2.describe_ssl_policies", "SslPolicies.0.SslProtocols", ["TLSv1", "TLSv1.2"]),
    Break("ECS-01", "ecs.describe_clusters", "clusters.0.status", "PROVISIONING"),
    Break("ECS-02", "ecs.describe_clusters", "clusters.0.settings", []),
    Break("TD-01", TASK, "taskDefinition.status", "INACTIVE"),
    Break("TD-02", TASK, "taskDefinition.networkMode", "bridge"),
    Break("TD-03", TASK, "taskDefinition.requiresCompatibilities", ["EC2"]),
    Break("TD-04", TASK, "taskDefinition.cpu", "512"),
    Break("TD-05", TASK, "taskDefinition.memory", "1024"),
    Break("TD-06", TASK, "taskDefinition.executionRoleArn", "arn:aws:iam::123456789012:role/other"),
    Break("TD-07", TASK, "taskDefinition.taskRoleArn", "arn:aws:iam::123456789012:role/other"),
    Break("TD-08", TASK, f"{CONTAINER}.image", "docker.io/shadowtwin:1.0.0"),
    Break("TD-09", TASK, f"{CONTAINER}.image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/shadowtwin:latest"),
    Break("TD-10", TASK, f"{CONTAINER}.portMappings.0.protocol", "udp"),
    Break("TD-11", TASK, f"{CONTAINER}.environment.name=NODE_ENV.value", "development"),
    Break("TD-12", TASK, f"{CONTAINER}.secrets.name=OPENAI_API_KEY.name", "OPENAI_KEY"),
    Break("TD-13", TASK, f"{CONTAINER}.secrets.name=SMTP_HOST.name", "MAIL_HOST"),
    Break("TD-14", "secretsmanager.describe_secret[shadowtwin/openai]", "DeletedDate", LONG_AGO),
    Break("TD-15", TASK, f"{CONTAINER}.environment.name=NODE_ENV.name", "SESSION_SECRET"),
    Break("TD-16", TASK, f"{CONTAINER}.logConfiguration.options.awslogs-stream-prefix", "web"),
    Break("TD-17", TASK, f"{CONTAINER}.healthCheck.retries", 1),
    Break("TD-18", TASK, f"{CONTAINER}.healthCheck.command", ["CMD-SHELL", "curl -f http://localhost:5000/api/health"]),
    Break("TD-19", TASK, f"{CONTAINER}.user", "root"),
    Break("TD-20", TASK, f"{CONTAINER}.readonlyRootFilesystem", False),
    Break("TD-21", TASK, f"{CONTAINER}.environment.name=APP_VERSION.value", ""),
    Break("SVC-01", SVC, "services.0.status", "DRAINING"),
    Break("SVC-02", SVC, "services.0.desiredCount", 1),
    Break("SVC-03", SVC, "services.0.runningCount", 1),
    Break("SVC-04", SVC, "services.0.launchType", "EC2"),
    Break("SVC-05", SVC, "services.0.networkConfiguration.awsvpcConfiguration.subnets", ["subnet-public"]),
    Break("SVC-06", SVC, "services.0.networkConfiguration.awsvpcConfiguration.securityGroups", ["sg-default"]),
    Break("SVC-07", SVC, "services.0.networkConfiguration.awsvpcConfiguration.assignPublicIp", "ENABLED"),
    Break("SVC-08", SVC, "services.0.loadBalancers.0.containerName", "other"),
    Break("SVC-09", SVC, "services.0.deploymentConfiguration.minimumHealthyPercent", 50),
    Break("SVC-10", SVC, "services.0.deploymentConfiguration.deploymentCircuitBreaker.enable", False),
    Break("SVC-11", SVC, "services.0.deploymentConfiguration.alarms.enable", False),
    Break("SVC-12", SVC, "services.0.deployments.0.rolloutState", "IN_PROGRESS"),
    Break("SVC-13", SVC, "services.0.events.0.message", "(service x) was unable to place a task"),
    Break("SVC-14", SVC, "services.0.healthCheckGracePeriodSeconds", ...),
    Break("SVC-15", SVC, "services.0.enableExecuteCommand", True),
    Break("SVC-16", "ecs.describe_tasks", "tasks.0.healthStatus", "UNHEALTHY"),
    Break("SVC-17", "ecs.list_service_deployments", "serviceDeployments.*.status", "ROLLBACK_SUCCESSFUL"),
    Break("SVC-18", "ecs.list_task_definitions", "taskDefinitionArns",
          ["arn:aws:ecs:us-east-1:123456789012:task-definition/shadowtwin:2"]),
    Break("ASG-01", TARGET, "ScalableTargets.0.MaxCapacity", 4),
    Break("ASG-02", TARGET, "ScalableTargets.0.SuspendedState.DynamicScalingOutSuspended", True),
    Break("ASG-03", SCALING, "ScalingPolicies.PolicyName=shadowtwin-cpu-scaling."
          "TargetTrackingScalingPolicyConfiguration.ScaleInCooldown", 10),
    Break("ASG-04", SCALING, "ScalingPolicies.PolicyName=shadowtwin-memory-scaling."
          "TargetTrackingScalingPolicyConfiguration.TargetValue", 99.0),
    Break("ASG-05", SCALING, "ScalingPolicies.*.Alarms", []),
    Break("ASG-06", "application-autoscaling.describe_scaling_activities", "ScalingActivities",
          [{"StatusCode": "Failed", "StatusMessage": "no"}]),
    Break("ALM-01", ALARMS, f"{CPU}.Threshold", 99.0),
    Break("ALM-02", ALARMS, f"{CPU}.Dimensions", []),
    Break("ALM-03", ALARMS, f"{CPU}.AlarmActions", []),
    Break("ALM-04", ALARMS, f"{CPU}.StateValue", "INSUFFICIENT_DATA"),
    Break("ALM-05", ALARMS, f"{CONNECTIONS}.Period", 60),
    Break("ALM-06", ALARMS, f"{CONNECTIONS}.Dimensions", []),
    Break("ALM-07", ALARMS, "MetricAlarms.AlarmName=shadowtwin-p95-latency.Threshold", 9.0),
    Break("ALM-08", ALARMS, "MetricAlarms.AlarmName=shadowtwin-error-rate.Threshold", 50.0),
    Break("ALM-09", ALARMS, f"{CPU}.TreatMissingData", "missing"),
    Break("ALM-10", ALARMS, "CompositeAlarms.*.AlarmRule", "ALARM(\"shadowtwin-p95-latency\")"),
    Break("ALM-11", "cloudwatch.describe_alarm_history", "AlarmHistoryItems", [RANG]),
    Break("ALM-12", "sns.list_subscriptions_by_topic", "Subscriptions.*.SubscriptionArn", "PendingConfirmation"),
    Break("DSH-01", "cloudwatch.get_dashboard", "DashboardBody",
          '{"widgets": [{"properties": {"metrics": [["AWS/RDS", "DatabaseConnections", "DBInstanceIdentifier", '
          '"shadowtwin-prod"]]}}]}'),
    Break("DSH-02", "cloudwatch.list_metrics[AWS/RDS]", "Metrics", []),
    gone("LOG-01", "logs.describe_log_groups"),
    Break("LOG-02", "logs.describe_log_groups", "logGroups.0.retentionInDays", 7),
    Break("LOG-03", "logs.describe_log_streams", "logStreams.*.lastEventTimestamp", 1_500_000_000_000),
    Break("LOG-04", "logs.filter_log_events", "events", TOO_MANY),
    Break("LOG-05", "logs.describe_queries", "queries", ...),
    Break("LOG-06", "logs.describe_metric_filters", "metricFilters", []),
    Break("DNS-01", "route53.list_resource_record_sets", "ResourceRecordSets.Type=CNAME.TTL", 3600, phase="day"),
    Break("DNS-02", "route53.get_hosted_zone", "DelegationSet.NameServers", []),
    Break("DNS-03", "route53.test_dns_answer", "ResponseCode", "NXDOMAIN"),
    Break("DNS-04", "route53.list_health_checks", "HealthChecks.*.HealthCheckConfig.ResourcePath", "/"),
    Break("CDN-01", "cloudfront.get_distribution", "Distribution.Status", "InProgress"),
    Break("CDN-02", "cloudfront.get_distribution",
          "Distribution.DistributionConfig.ViewerCertificate.MinimumProtocolVersion", "TLSv1"),
    Break("CDN-03", "cloudfront.get_distribution",
          "Distribution.DistributionConfig.Origins.Items.0.CustomOriginConfig.OriginProtocolPolicy", "http-only"),
    gone("S3-01", "s3.head_bucket"),
    Break("S3-02", "s3.get_public_access_block", "PublicAccessBlockConfiguration.BlockPublicAcls", False),
    gone("S3-03", "s3.get_bucket_encryption"),
    Break("S3-04", "s3.get_bucket_versioning", "Status", ...),
    Break("S3-05", "s3.get_bucket_policy", "Policy", '{"Statement": []}'),
    gone("S3-06", "s3.get_bucket_lifecycle_configuration"),
    Break("S3-07", "s3.get_bucket_policy_status", "PolicyStatus.IsPublic", True),
    Break("IAM-01", "iam.get_role[ecsTaskExecutionRole]", "Role.AssumeRolePolicyDocument.Statement.0.Principal.Service",
          "ec2.amazonaws.com"),
    Break("IAM-02", "iam.list_attached_role_policies[ecsTaskExecutionRole]", "AttachedPolicies", []),
    Break("IAM-03", 'iam.simulate_principal_policy[role/ecsTaskExecutionRole"]', "EvaluationResults.*.EvalDecision",
          "implicitDeny"),
    Break("IAM-04", "iam.get_role_policy[shadowtwinTaskRole]", "PolicyDocument.Statement.0",
          {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}),
    Break("IAM-05", "iam.get_policy_version", "PolicyVersion.Document", GUIDE_POLICY),
    Break("IAM-06", "iam.list_open_id_connect_providers", "OpenIDConnectProviderList", [{"Arn": "arn:other"}]),
    Break("IAM-07", "iam.list_access_keys", "AccessKeyMetadata", [OLD_KEY]),
    Break("IAM-08", "iam.get_instance_profile", "InstanceProfile.Roles", [], "ec2"),
    Break("EC2-01", MACHINE, f"{I0}.State.Name", "stopped", "ec2"),
    Break("EC2-02", MACHINE, f"{I0}.InstanceType", "t3.nano", "ec2"),
    Break("EC2-03", MACHINE, f"{I0}.IamInstanceProfile", ..., "ec2"),
    Break("EC2-04", MACHINE, f"{I0}.PublicIpAddress", "198.51.100.7", "ec2"),
    Break("EC2-05", MACHINE, f"{I0}.MetadataOptions.HttpTokens", "optional", "ec2"),
    Break("EC2-06", "ec2.describe_volumes", "Volumes.*.Encrypted", False, "ec2"),
    Break("EC2-07", "ec2.describe_images", "Images.*.DeprecationTime", LONG_AGO, "ec2"),
    Break("EC2-08", "ec2.get_ebs_encryption_by_default", "EbsEncryptionByDefault", False, "ec2"),
    Break("EC2-09", "ec2.describe_instance_status", "InstanceStatuses.*.SystemStatus.Status", "impaired", "ec2"),
    Break("EC2-10", "ec2.describe_instance_attribute", "UserData.Value", "bnBtIGNp", "ec2"),
    Break("EC2-11", "ec2.describe_instance_attribute", "UserData.Value",
          "bnBtIGNpOyBucG0gcnVuIGJ1aWxkOyBwbTIgc3RhcnR1cDsgT1BFTkFJX0FQSV9LRVk9c2stMSBwbTIgc3RhcnQgYTsgcG0yIHNhdmU=", "ec2"),
    Break("EC2-12", "elbv2.describe_target_health", "TargetHealthDescriptions.*.TargetHealth.State", "unhealthy", "ec2"),
    Break("EC2-13", MACHINE, f"{I0}.SecurityGroups", [{"GroupId": "sg-default"}], "ec2"),
    Break("POST-01", METRICS, "MetricDataResults.Id=requests.Values", []),
    Break("POST-02", METRICS, "MetricDataResults.Id=p95.Values", [9.5]),
    Break("POST-03", METRICS, "MetricDataResults.Id=ratio.Values", [22.0]),
    Break("POST-04", "cloudwatch.get_metric_statistics", "Datapoints", []),
    Break("POST-08", "cloudtrail.lookup_events", "Events.0.Username", "root"),
    Break("POST-11", "guardduty.list_detectors", "DetectorIds", []),
    Break("POST-12", "wafv2.get_web_acl_for_resource", "WebACL", ...),
    Break("IMG-01", DOCKER, "Text", "FROM node:24-alpine\nRUN npm ci --omit=dev\nENV NODE_ENV=production\nUSER node\n"
          "EXPOSE 5000\n"),
    Break("IMG-02", DOCKER, "Text", "FROM node:24-alpine AS b\nFROM node:24-alpine\nCOPY --from=b a a\n"
          "RUN npm ci --omit=dev\nENV NODE_ENV=production\nEXPOSE 5000\n"),
    Break("IMG-03", DOCKER, "Text", "FROM node:24-alpine AS b\nFROM node:24-alpine\nCOPY --from=b a a\n"
          "RUN npm ci --omit=dev\nENV NODE_ENV=production\nUSER node\nEXPOSE 3000\n"),
    Break("IMG-04", DOCKER, "Text", "FROM node:24-alpine AS b\nFROM node:24-alpine\nCOPY --from=b a a\n"
          "RUN npm ci\nENV NODE_ENV=production\nUSER node\nEXPOSE 5000\n"),
    Break("IMG-05", DOCKER, "Text", "FROM node:24-alpine AS b\nFROM node:24-alpine\nCOPY --from=b a a\n"
          "RUN npm ci --omit=dev\nENV NODE_ENV=production\nUSER node\nEXPOSE 5000\nHEALTHCHECK CMD curl -f localhost\n"),
    Break("IMG-06", DOCKER, "Text", "FROM node:20-alpine AS b\nFROM node:20-alpine\nCOPY --from=b a a\n"
          "RUN npm ci --omit=dev\nENV NODE_ENV=production\nUSER node\nEXPOSE 5000\n"),
    Break("CI-01", FLOW, "Text", "env: {ECS_CLUSTER: other}\non: [push]\njobs: {d: {steps: [{uses: "
          "aws-actions/amazon-ecs-deploy-task-definition@v1}]}}"),
    Break("CI-02", FLOW, "Text", "on: {push: {branches: [main]}}\njobs: {d: {steps: [{uses: "
          "aws-actions/amazon-ecs-deploy-task-definition@v1}]}}"),
    Break("CI-03", FLOW, "Text", "on: [push]\njobs: {d: {steps: [{uses: "
          "aws-actions/amazon-ecs-deploy-task-definition@v1}]}}"),
    Break("X-01", RDS, "DBInstances.0.Endpoint.Port", 6000),
    Break("X-02", REDIS_URL, "SecretFacts.has_password", False),
    Break("X-03", TASK, f"{CONTAINER}.secrets.name=SMTP_PASS.valueFrom",
          "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shadowtwin/smtp-abcdef"),
    Break("X-04", TG, "TargetGroups.0.Port", 8080),
    Break("X-05", GROUPS, "SecurityGroups.GroupName=shadowtwin-ecs-sg.IpPermissions.0.UserIdGroupPairs", []),
    Break("X-06", RDS, "DBInstances.0.DBSubnetGroup.VpcId", "vpc-default"),
    Break("X-07", TARGET, "ScalableTargets.0.MaxCapacity", 200),
    Break("X-08", "service-quotas.get_service_quota", "Quota.Value", 39.0),
    Break("X-09", SCALING, "ScalingPolicies.PolicyName=shadowtwin-cpu-scaling."
          "TargetTrackingScalingPolicyConfiguration.TargetValue", 95.0),
    Break("X-10", "logs.describe_log_groups", "logGroups.0.retentionInDays", ...),
    Break("X-11", "ecs.describe_tasks", "tasks.0.containers.0.imageDigest", "sha256:0"),
    Break("X-12", "acm.describe_certificate", "Certificate.Status", "EXPIRED"),
    Break("X-13", SVC, "services.0.healthCheckGracePeriodSeconds", 45),
    Break("X-14", ALARMS, "MetricAlarms.*.AlarmActions", []),
    Break("X-15", "elbv2.describe_target_group_attributes[targetgroup/shadowtwin-tg-blue/]",
          "Attributes.Key=deregistration_delay\\.timeout_seconds.Value", "300"),
    Break("X-16", "cloudwatch.list_metrics[AWS/RDS]", "Metrics.*.Dimensions",
          [{"Name": "DBInstanceIdentifier", "Value": "another"}]),
    Break("X-17", "rds.describe_db_snapshots", "DBSnapshots.*.SnapshotCreateTime", LONG_AGO),
]  # fmt: skip
