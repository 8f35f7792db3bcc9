"""A fleet of hosts that do not exist, with faults whose truth is known and told to no detector.

load: what a healthy host shows at any moment · faults: what goes wrong and how it looks · scenarios: when, on which
host, and the file of the hidden truth · fleet: frames of all of it, live or of the past.
"""
