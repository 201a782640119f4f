"""Trains a network of PyTorch in processes of their own, each recorded until somebody kills it.

A request is a line of JSON: the run, and the epoch to begin with where a run is gone on with. The answer has the
process; what it commits follows, line by line, and how it ended.
"""

import ctypes
import json
import os
import signal
import sys
import time
import traceback

import torch
from torch import nn

import stratigraph_nn as sg

STEPS = 4
#: As prctl(2) has it.
PR_SET_PDEATHSIG = 1


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(16, 8)
        self.output = nn.Linear(8, 4)

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


def train(run, first):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Network()
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.randn(64, 16), torch.randint(0, 4, (64,))
    held_out = torch.randn(32, 16), torch.randint(0, 4, (32,))
    resume = None if first is None else (first - 1, STEPS * first)
    with sg.record(
        model, run, optimizer=optimizer, held_out=held_out, resume=resume, commits="/dev/stdout", on_error="stop"
    ) as rec:
        for _ in range(first or 0, 1_000_000):
            for _ in range(STEPS):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
            rec.epoch(train_loss=loss)
            time.sleep(0.03)


for line in sys.stdin:
    job = json.loads(line)
    process = os.fork()
    if process == 0:
        # It never outlives the test.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        sys.stdin.close()
        try:
            train(job["run"], job["first"])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    print(json.dumps({"began": process}), flush=True)
    _, status = os.waitpid(process, 0)
    print(json.dumps({"ended": os.waitstatus_to_exitcode(status) * -1}), flush=True)
