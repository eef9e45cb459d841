"""The Celery app of the fault runs, for who sends and for workers, with a short visibility timeout on Redis.

Celery's own is an hour: so long it takes until what a killed worker had is given to another one.
"""

import os

from celery import Celery

VISIBILITY = float(os.environ.get("FAULTS_VISIBILITY", "20"))
"""After how many seconds Redis gives what a killed worker had to another one: longer than any batch takes."""


def make_app(broker_url: str) -> Celery:
    app = Celery("faults", broker=broker_url)
    app.conf.update(
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        # A broker that restarts is away for some seconds, again and again.
        broker_connection_max_retries=None,
    )
    if broker_url.startswith("redis"):
        app.conf.broker_transport_options = {
            "visibility_timeout": VISIBILITY,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        }
    return app
