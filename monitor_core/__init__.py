"""Smart Infra Monitor: one sample's way, top to bottom (read `service/pipeline.py` first).

sources/      1 where samples come from: this machine, HTTP bodies; a Frame is a batch of samples in columns
storage/      2 where things are kept: journal and state (one file, one writer), time series (another)
detection/    3 is it abnormal: detectors give a score 0..1 and reasons; the policy makes incidents of scores
alerting/     4 who is told, when and how: routing, messages, delivery, channels
service/      5 the running process: pipeline, bootstrap (the only builder), scheduler, HTTP API, live stream
dashboard/    6 what the pages share: the in-page component and its assets
settings, metrics, frame, scores, incidents, notifications: the words that all of them speak
"""

__version__ = "0.1.0"
