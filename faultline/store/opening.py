"""The way to the store for those who may not have SQLAlchemy: it is imported here, when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultline.store.address import Address, StoreError

if TYPE_CHECKING:
    from faultline.store.results import Results


def open_results(address: Address) -> Results:
    """The store, open and up to date. Raises StoreError, also when SQLAlchemy is not installed."""
    try:
        from faultline.store.results import Results
    except ModuleNotFoundError as error:
        if (error.name or str(error)).partition(".")[0] != "sqlalchemy":
            raise
        raise StoreError(
            "results over time need SQLAlchemy: install faultline with its extra `store` "
            "(pip install '/path/to/faultline[store]'), or pip install 'sqlalchemy>=2.0'"
        ) from error
    return Results(address)
