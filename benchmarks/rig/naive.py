"""The naive way: a Celery task for each delivery, and in each a new session of requests."""

import hashlib
import hmac
import os

import requests
from celery import Celery

app = Celery("naive", broker=os.environ.get("NAIVE_BROKER_URL"))
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


@app.task(name="naive.deliver")
def deliver(url: str, body: str, secret: str) -> None:
    data = body.encode()
    headers = {
        "Content-Type": "application/json",
        "Hook-HMAC": hmac.new(secret.encode(), data, hashlib.sha256).hexdigest(),
    }
    with requests.Session() as session:
        session.post(url, data=data, headers=headers, timeout=10).raise_for_status()
