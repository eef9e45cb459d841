"""What workers serve: ``celery -A faults.serve worker``."""

import os

from faults.app import make_app
from thornsdk import Thorn
from thornsdk_plugins.celery import register_tasks

app = make_app(os.environ["FAULTS_BROKER_URL"])
register_tasks(app, Thorn(dispatcher="celery"))
