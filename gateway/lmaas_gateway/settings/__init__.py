"""Every setting of the gateway: frozen groups under one root, read once by `loading.py`."""

from lmaas_gateway.settings.admin import AdminSettings
from lmaas_gateway.settings.alerts import AlertSettings, Severity, WebhookSettings, read_secrets
from lmaas_gateway.settings.audit import AuditSettings
from lmaas_gateway.settings.books import BooksSettings
from lmaas_gateway.settings.connections import ConnectionSettings
from lmaas_gateway.settings.contents import ContentSettings
from lmaas_gateway.settings.dashboard import DashboardSettings
from lmaas_gateway.settings.engine import EngineSettings, OldEngines
from lmaas_gateway.settings.explanation import explain
from lmaas_gateway.settings.failover import EjectionSettings, RetrySettings, TimeoutSettings
from lmaas_gateway.settings.fields import FIXED
from lmaas_gateway.settings.identity import IdentitySettings
from lmaas_gateway.settings.issuers import IssuerSettings
from lmaas_gateway.settings.keys import KeySettings, Priority
from lmaas_gateway.settings.limits import LimitSettings
from lmaas_gateway.settings.loading import load_settings
from lmaas_gateway.settings.log_file import LogFileSettings
from lmaas_gateway.settings.masking import mask
from lmaas_gateway.settings.media import MediaSettings
from lmaas_gateway.settings.model_list import check_kinds
from lmaas_gateway.settings.models import (
    DEFAULT_MAX_IN_FLIGHT,
    CanarySettings,
    ModelKind,
    ModelSettings,
    RoutingPolicy,
)
from lmaas_gateway.settings.objectives import LatencyObjective, ObjectiveSettings, ShareObjective
from lmaas_gateway.settings.policy import PolicySettings
from lmaas_gateway.settings.prices import PriceSettings
from lmaas_gateway.settings.quality import CanaryPrompt, Expectation, QualitySettings
from lmaas_gateway.settings.queueing import QueueSettings
from lmaas_gateway.settings.quotas import QuotaSettings
from lmaas_gateway.settings.records import RecordSettings
from lmaas_gateway.settings.replay import CacheSettings, IdempotencySettings
from lmaas_gateway.settings.replicas import ReplicaSettings
from lmaas_gateway.settings.root import Settings, fixed_names, is_loopback
from lmaas_gateway.settings.storage import StorageSettings
from lmaas_gateway.settings.tls import TlsSettings
from lmaas_gateway.settings.tracing import TracingSettings

__all__ = [
    "DEFAULT_MAX_IN_FLIGHT",
    "FIXED",
    "AdminSettings",
    "AlertSettings",
    "AuditSettings",
    "BooksSettings",
    "CacheSettings",
    "CanaryPrompt",
    "CanarySettings",
    "ConnectionSettings",
    "ContentSettings",
    "DashboardSettings",
    "EjectionSettings",
    "EngineSettings",
    "Expectation",
    "IdempotencySettings",
    "IdentitySettings",
    "IssuerSettings",
    "KeySettings",
    "LatencyObjective",
    "LimitSettings",
    "LogFileSettings",
    "MediaSettings",
    "ModelKind",
    "ModelSettings",
    "ObjectiveSettings",
    "OldEngines",
    "PolicySettings",
    "PriceSettings",
    "Priority",
    "QualitySettings",
    "QueueSettings",
    "QuotaSettings",
    "RecordSettings",
    "ReplicaSettings",
    "RetrySettings",
    "RoutingPolicy",
    "Settings",
    "Severity",
    "ShareObjective",
    "StorageSettings",
    "TimeoutSettings",
    "TlsSettings",
    "TracingSettings",
    "WebhookSettings",
    "check_kinds",
    "explain",
    "fixed_names",
    "is_loopback",
    "load_settings",
    "mask",
    "read_secrets",
]
