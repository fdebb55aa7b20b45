"""What a model predicts: one class for each task, and the reading of data as one of them.

Importing this package registers the tasks; the order is that in which data is tried for them.
"""

from clearsight.tasks.anomaly import Anomaly
from clearsight.tasks.classification import Classification
from clearsight.tasks.hierarchy import Hierarchy
from clearsight.tasks.multilabel import Multilabel
from clearsight.tasks.ordinal import Ordinal
from clearsight.tasks.reading import list_images, origin_of, read, read_exclusive
from clearsight.tasks.registry import register_task, registered_tasks, task_named, task_names
from clearsight.tasks.regression import Regression
from clearsight.tasks.task import (
    OODScores,
    PredictOptions,
    Task,
    TaskOptions,
)

__all__ = [
    "Anomaly",
    "Classification",
    "Hierarchy",
    "Multilabel",
    "OODScores",
    "Ordinal",
    "PredictOptions",
    "Regression",
    "Task",
    "TaskOptions",
    "list_images",
    "origin_of",
    "read",
    "read_exclusive",
    "register_task",
    "registered_tasks",
    "task_named",
    "task_names",
]
