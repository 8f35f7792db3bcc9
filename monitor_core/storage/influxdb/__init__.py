"""InfluxDB 2.7 as the time-series store.

connection: the only file that talks to the server · line_protocol: frames → lines · flux: questions and how answers
are read · tables: answers → arrays · rollup_points: rollups as points · pending: what is not rolled up yet ·
buckets: which buckets there must be · maintenance: rolling up and expiring · store: the contract itself
"""
