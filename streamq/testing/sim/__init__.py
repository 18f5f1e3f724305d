"""A simulator: the real engine and the real scripts, in one process, under a virtual clock.

A seed says everything: what is added, who dies, what the network loses, and whose turn it is. After
each call the server's keys are compared with a model of the scripts in plain Python.
"""
