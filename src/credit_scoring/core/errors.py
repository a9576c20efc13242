"""The whole exception tree of the package.

CreditScoringError
├── DeclarationError            a portfolio file cannot be used
├── ContractError               a source file or table cannot be checked at all
├── TooManyQuarantinedError     so many rows broke the contract that a run would be meaningless
├── MissingInputsError          a table lacks columns that a feature reads
├── FeatureTablesError          tables that features cannot be computed from together
├── FeatureFunctionError        a function of a portfolio's features.py failed
├── MissingFunctionError        a function of a portfolio's features.py is not loaded in this process
├── StaleFeaturesError          features on disk were made under another declaration
├── TrainingError               a model cannot be fitted on what it was given
├── EvaluationError             a model cannot be judged on what happened
├── BundleError                 a model bundle is absent, damaged or of an unknown kind
├── ScoringError                a model gave no usable score
├── RegistryError               the model registry and the roles do not fit together
├── RecordsError                a decision cannot be recorded or read
├── DamagedRecordError          a stored record is not what was written
├── AuditError                  an audit cannot be done as it was asked for
├── FeatureCacheError           the feature cache does not answer, or answers rubbish
├── UnauthenticatedError        a request brings no key or token that is accepted
├── ForbiddenError              a key or token lacks the scope of a route
├── RateLimitedError            a key asks a route more often than it may
├── IssuerUnavailableError      the issuer of tokens does not tell the keys it signs with
├── ApiKeyError                 a key of the API cannot be made or found
├── SettingsError               an environment variable says what cannot be used
├── StaleRolesError             the roles changed since they were read
├── OverloadedError             more requests wait than can be answered in time
├── IdempotencyKeyReusedError   an Idempotency-Key came back with another body
├── RequestInProgressError      a request with the same Idempotency-Key is not answered yet
├── StreamError                 the stream of pushed events is not configured or does not answer
├── InvalidApplicationError     an application contradicts itself or the clock
├── UnknownApplicantError       no facts are stored for an applicant
├── UnknownDecisionError        no decision is recorded under an id
└── ApplicationReusedError      an application id came back with other content
"""

from collections.abc import Collection
from difflib import get_close_matches


class CreditScoringError(Exception):
    """Base of all errors of this package: what is wrong, which name, what to do next."""

    code = "credit_scoring_error"


class DeclarationError(CreditScoringError):
    """A portfolio declaration is absent, unreadable or contradicts itself."""

    code = "declaration"


class ContractError(CreditScoringError):
    """A source cannot be checked row by row: it is absent, unreadable or lacks columns."""

    code = "contract"


class TooManyQuarantinedError(CreditScoringError):
    """A larger share of rows broke the contract than the portfolio allows."""

    code = "too_many_quarantined"

    def __init__(self, table: str, quarantined: int, rows: int, limit: float, worst: str) -> None:
        super().__init__(
            f"{quarantined:,} of {rows:,} rows of the table '{table}' broke the contract, more than the {limit:.1%} "
            f"that 'ingestion.max_quarantined_share' allows. Most often: {worst}. 'credit-scoring quarantine list' "
            f"shows rows and reasons; correct the source or the declaration, then run again."
        )


class MissingInputsError(CreditScoringError):
    """A feature cannot be computed because columns are absent."""

    code = "missing_inputs"

    def __init__(self, table: str, missing: Collection[str]) -> None:
        self.table = table
        self.missing = tuple(sorted(missing))
        super().__init__(
            f"Table '{table}' lacks column(s) {list(self.missing)} that the declared features read. "
            f"Run the ingestion pipeline again, or remove the features that need them."
        )


class FeatureTablesError(CreditScoringError):
    """Tables come from several engines, a moment has no time zone, or an applicant stands there twice."""

    code = "feature_tables"


class FeatureFunctionError(CreditScoringError):
    """A function of a portfolio's ``features.py`` failed, or does what no feature may do."""

    code = "feature_function"


class MissingFunctionError(CreditScoringError):
    """A declaration names a function of a ``features.py`` that this process has not loaded."""

    code = "missing_function"

    def __init__(self, feature: str, source: str) -> None:
        super().__init__(
            f"Feature '{feature}' is a Python function of a 'features.py' with the digest {source[:12]}, which is not "
            f"loaded here. Read the declaration together with the 'features.py' beside it, or the model bundle with "
            f"the 'features.py' among its files."
        )


class StaleFeaturesError(CreditScoringError):
    """Features, or the parts of applicants, were made under another declaration than their reader's."""

    code = "stale_features"


class TrainingError(CreditScoringError):
    """A model cannot be fitted: too few rows, one class only, or a slope of the wrong sign."""

    code = "training"


class EvaluationError(CreditScoringError):
    """A model cannot be judged or watched: there are no applicants, or only one outcome among them."""

    code = "evaluation"


class BundleError(CreditScoringError):
    """A model bundle is absent, damaged, or written by code this process does not have."""

    code = "bundle"


class ScoringError(CreditScoringError):
    """A model gave a score that is not a finite number."""

    code = "scoring"


class RegistryError(CreditScoringError):
    """The model registry and the roles in the records database contradict each other."""

    code = "registry"


class RecordsError(CreditScoringError):
    """The records database refused or could not be reached; nothing was decided."""

    code = "records_unavailable"


class FeatureCacheError(CreditScoringError):
    """The feature cache does not answer in time, or what it answers is not what was kept."""

    code = "feature_cache"


class UnauthenticatedError(CreditScoringError):
    """No key or token was sent, or it is unknown, expired or revoked; the message does not say which."""

    code = "unauthenticated"

    def __init__(self) -> None:
        super().__init__(
            "The request brings no key or token that is accepted. Send the header 'Authorization: Bearer <key>' once, "
            "with a key that is neither expired nor revoked, or with a valid token of the configured issuer."
        )


class ForbiddenError(CreditScoringError):
    """The key or token is accepted, but not for this route, which asks for ``scope``."""

    code = "forbidden"

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(
            f"The key or token is accepted, but lacks the scope '{scope}' that this route asks for. Use one that has "
            f"it: 'credit-scoring keys create --scopes {scope},...' makes one."
        )


class RateLimitedError(CreditScoringError):
    """A key asks more often than it may; ``retry_after_s`` is when it may again."""

    code = "rate_limited"

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class ExperimentError(CreditScoringError):
    """An experiment cannot be changed as asked for."""

    code = "experiment"


class StaleRolesError(CreditScoringError):
    """The roles changed since they were read."""

    code = "stale_roles"

    def __init__(self, portfolio: str) -> None:
        super().__init__(f"The roles of '{portfolio}' changed meanwhile. Look at who holds them now, then try again.")


class OverloadedError(CreditScoringError):
    """More requests wait than can be answered in time."""

    code = "overloaded"


class IdempotencyKeyReusedError(CreditScoringError):
    """An ``Idempotency-Key`` came back with another body."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used with another body. Send the body it came with first, or a new key."
        )


class RequestInProgressError(CreditScoringError):
    """A request with the same ``Idempotency-Key`` is not answered yet."""

    code = "request_in_progress"

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is in progress. Wait, then send the same again.")


class IssuerUnavailableError(CreditScoringError):
    """The issuer does not tell the key that a token names; ``retry_after_s`` is when it is asked again."""

    code = "issuer_unavailable"

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(
            "The token cannot be checked now, as its issuer (CREDIT_OIDC_ISSUER) does not tell its keys. Send the same "
            "request again later."
        )


class ApiKeyError(CreditScoringError):
    """A key of the API cannot be made as asked for, or there is none of this id."""

    code = "api_key"


class SettingsError(CreditScoringError):
    """An environment variable says what cannot be used."""

    code = "settings"


class StreamError(CreditScoringError):
    """The stream of pushed events is not configured, cannot be reached or refuses what is asked."""

    code = "stream_unavailable"


class InvalidApplicationError(CreditScoringError):
    """An application is well-formed but cannot be decided; ``pointer`` is the JSON pointer of the fault."""

    code = "invalid_application"

    def __init__(self, pointer: str, fault: str, detail: str) -> None:
        self.pointer = pointer
        self.fault = fault
        super().__init__(detail)


class UnknownApplicantError(CreditScoringError):
    """No facts are stored for this applicant."""

    code = "unknown_applicant"

    def __init__(self) -> None:
        super().__init__(
            "No facts are stored for this applicant_id. Send the fields inline under 'application' and "
            "'events', or ingest the applicant first."
        )


class NoRolesError(CreditScoringError):
    """No roles were given by the moment that is asked for."""

    code = "no_roles"

    def __init__(self) -> None:
        super().__init__("No model held a role at that moment. Ask for a later one, or leave 'at' out.")


class UnknownModelError(CreditScoringError):
    """No model of this version is loaded."""

    code = "unknown_model"

    def __init__(self) -> None:
        super().__init__("No model of this version is loaded here. 'GET /v1/models' lists those that are.")


class UnknownDecisionError(CreditScoringError):
    """No decision is recorded under this id."""

    code = "unknown_decision"

    def __init__(self) -> None:
        super().__init__("No decision is recorded under this id. Use the 'decision_id' of an earlier answer.")


class DamagedRecordError(CreditScoringError):
    """A stored record is not what was written."""

    code = "damaged_record"

    def __init__(self, decision_id: str) -> None:
        super().__init__(
            f"The record of the decision '{decision_id}' is damaged. 'credit-scoring audit verify' tells what is wrong "
            f"with it; compare it with a backup."
        )


class AuditError(CreditScoringError):
    """An audit cannot be done as it was asked for."""

    code = "audit"


class ApplicationReusedError(CreditScoringError):
    """An application id was sent again with other content."""

    code = "application_reused"

    def __init__(self) -> None:
        super().__init__(
            "This application_id was decided before with other content. Repeat the first request unchanged "
            "to read its answer, or use a new application_id."
        )


def nearest(word: str, allowed: Collection[str]) -> str:
    """Return ' Did you mean 'x'?' for the closest allowed word, or an empty string."""
    found = get_close_matches(word, list(allowed), n=1)
    return f" Did you mean '{found[0]}'?" if found else ""
