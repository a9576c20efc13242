"""What the pipeline stages for the Bento: the bundles that hold roles, the roles, and a golden application."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from credit_scoring.adapters.bento_stage import MANIFEST, STAGE, tag_file
from credit_scoring.adapters.files import read_directory, write_directory
from credit_scoring.core.bundles import MANIFEST as MANIFEST_OF_BUNDLE
from credit_scoring.core.bundles import digest, from_files
from credit_scoring.core.errors import BundleError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.model_cards import NOTED
from credit_scoring.core.roles import ROLES, Roles
from credit_scoring.core.scoring import ModelBundle

__all__ = ["MANIFEST", "STAGE", "BentoPackage", "read_package", "stage_package", "tag_file"]

FORMAT = 2
OLDEST = 1
"""Format of packages from before it was noted; they lack the tags, and are read."""


@dataclass(frozen=True)
class BentoPackage:
    """Bundles by digest, the roles that a fresh records database starts with, and golden points by digest.

    ``tags`` are, by digest, what was noted of each bundle at its registration and its card tells; empty in a package
    from before they were staged.
    """

    portfolio: str
    roles: Roles
    bundles: Mapping[str, ModelBundle]
    golden: Mapping[str, float]
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def stage_package(
    target: Path,
    roles: Roles,
    bundle_files: Mapping[str, Mapping[str, bytes]],
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write the package to ``target``.

    Args:
        target: The directory, which is replaced whole.
        roles: The roles that a fresh records database starts with.
        bundle_files: The files of each role's bundle, by digest.
        tags: Those of each bundle's registered version, by digest; the package keeps what a model's card tells.
    """
    files: dict[str, bytes] = {}
    golden: dict[str, float] = {}
    portfolio = ""
    for key in sorted({roles.holder(role).digest for role in ROLES}):
        bundle = from_files(bundle_files[key], f"digest {key[:12]}")
        golden[key], portfolio = golden_points(bundle), bundle.portfolio.name
        files |= {f"bundles/{key}/{name}": content for name, content in bundle_files[key].items()}
    manifest = {
        "format": FORMAT,
        "portfolio": portfolio,
        "roles": roles.model_dump(mode="json", by_alias=True),
        "golden": golden,
        "tags": {key: _noted(own) for key, own in sorted((tags or {}).items()) if key in golden},
    }
    write_directory(target, files | {MANIFEST: json.dumps(manifest, indent=1).encode()})


def read_package(source: Path) -> BentoPackage:
    """Return the package at ``source``.

    Raises:
        BundleError: If nothing is staged there, a newer version of this project staged it, or a bundle is not what
            its digest says.
    """
    files = read_directory(source)
    if MANIFEST not in files:
        raise BundleError(f"Nothing is staged for the Bento at '{source}'. Run 'kedro run' first.")
    package = _manifest(files[MANIFEST], source)
    bundles = {}
    for key in sorted({*package.golden, *(package.roles.holder(role).digest for role in ROLES)}):
        prefix = f"bundles/{key}/"
        own = {name.removeprefix(prefix): content for name, content in files.items() if name.startswith(prefix)}
        where = source / "bundles" / key
        # Before it is read: reading may execute its features.py, whose checksum is in the manifest that is digested.
        if MANIFEST_OF_BUNDLE in own and (digest(own) != key or key not in package.golden):
            raise BundleError(f"The bundle at '{where}' is not what its digest says. Run 'kedro run'.")
        bundles[key] = from_files(own, str(where))
    return replace(package, bundles=bundles)


def _manifest(content: bytes, source: Path) -> BentoPackage:
    """Return a package without its bundles."""
    try:
        manifest = json.loads(content)
        if manifest.get("format", OLDEST) not in (OLDEST, FORMAT):
            raise BundleError(
                f"The package at '{source}' has format {manifest['format']}; this code reads up to {FORMAT}. Serve it "
                f"with the version of this project that staged it, or run 'kedro run --pipeline=packaging'."
            )
        return BentoPackage(
            portfolio=str(manifest["portfolio"]),
            roles=Roles.model_validate(manifest["roles"]),
            bundles={},
            golden={str(key): float(points) for key, points in manifest["golden"].items()},
            tags={str(key): _noted(tags) for key, tags in manifest.get("tags", {}).items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise BundleError(f"'{source / MANIFEST}' is not what was staged. Run 'kedro run'.") from exc


def _noted(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: str(tags[name]) for name in NOTED if name in tags}
