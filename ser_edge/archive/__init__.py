"""Recordings by the thousand: all cores of a machine, results that survive any kill, a cluster.

Nothing here is loaded before it is used: a single recording never needs it.
"""
