"""Prefect only: order, retries, placement. No machine learning and no torch import; nothing else imports Prefect."""
