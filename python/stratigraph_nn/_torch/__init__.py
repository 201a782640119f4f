"""What Stratigraph needs of PyTorch: a module's layers, how they are connected, and what they make of
held-out samples.

It knows modules and tensors, and nothing of runs, files or the recorder. Nothing here keeps a tensor after a
call but in what the call returns.
"""
