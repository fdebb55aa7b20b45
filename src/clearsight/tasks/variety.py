"""Targets that are the same for all images: nothing can be learned of them."""

from __future__ import annotations

from clearsight.data.audit import Finding
from clearsight.data.dataset import Dataset
from clearsight.errors import DataError


def constant_names(dataset: Dataset) -> list[str]:
    """Names of the targets that are the same for all images."""
    columns = zip(dataset.names, dataset.targets.T, strict=True)
    return [name for name, column in columns if column.min() == column.max()]


def constant_finding(error: DataError | None) -> list[Finding]:
    """The audit's finding about targets that training refuses with this error; none where it does not."""
    if error is None:
        return []
    message = error.happened + (f": {error.found}" if error.found else "")
    return [Finding("constant-targets", "warning", f"{message}; `train` refuses this", error.fix or "")]
