"""An application with a Celery app of its own: ``celery -A support.celery_app worker``."""

import os
from pathlib import Path

from celery import Celery

from support.shop import declare
from thornsdk import Thorn
from thornsdk_plugins.celery import register_tasks

app = Celery("shop", broker=os.environ["THORN_BROKER_URL"])
app.conf.update(
    task_default_queue="shop",
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
)
if app.conf.broker_url.startswith("redis"):
    # What a dead worker had comes back soon; a task waits for half of it at most.
    app.conf.broker_transport_options = {
        "visibility_timeout": float(os.environ.get("SHOP_VISIBILITY", "3600")),
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }

thorn = Thorn(dispatcher="celery")
if "SHOP_SUBSCRIBER" in os.environ:
    declare(thorn, os.environ["SHOP_SUBSCRIBER"])
register_tasks(app, thorn)


@app.task(name="shop.write")
def write(path: str) -> None:
    """A task of the application's own."""
    Path(path).write_text("done")
