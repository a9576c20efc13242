"""What decides now, for pipelines that decide as the service does."""

from sqlalchemy import Engine

from credit_scoring.adapters.bento_package import STAGE, BentoPackage, read_package
from credit_scoring.adapters.bento_stage import MANIFEST, staged_portfolio
from credit_scoring.adapters.bundle_shelf import BundleShelf
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.registry_fetch import fetched_from_registry
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.roles import Roles
from credit_scoring.usecases.assignment import Assignment
from credit_scoring.usecases.follow_roles import assigned


def present_assignment(portfolio: str, engine: Engine) -> Assignment:
    """Return the models that hold the roles now, from what is staged for the Bento or else from the registry.

    It stays as it is for the whole of a run, whatever becomes of the roles meanwhile.

    Raises:
        RegistryError: Before a portfolio's first run, or if the registry does not give a bundle that is not staged.
        BundleError: If a bundle cannot be used here.
        RecordsError: If the roles cannot be read.
    """
    row = RoleRepository(engine).current(portfolio)
    if row is None:
        raise RegistryError(
            f"Portfolio '{portfolio}' has no champion and challenger yet. Run 'kedro run --env={portfolio}' first."
        )
    return assigned(row, BundleShelf(_staged(portfolio, row.roles), fetched_from_registry).get)


def _staged(portfolio: str, roles: Roles) -> BentoPackage:
    """Return what is staged, or nothing when that is of another portfolio."""
    if (STAGE / MANIFEST).exists() and staged_portfolio(STAGE) == portfolio:
        return read_package(STAGE)
    return BentoPackage(portfolio, roles, {}, {})
