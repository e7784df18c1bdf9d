#!/usr/bin/env python3
"""Write a small TensorBoard run for tests: write-run DIR [TAG [STEPS]].

The run has one scalar, TAG (default "loss"), that falls from 1 towards 0.
"""
import sys
import time

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def main(directory, tag="loss", steps="20"):
    writer = EventFileWriter(directory)
    for step in range(int(steps)):
        value = summary_pb2.Summary.Value(tag=tag, simple_value=1 / (1 + step))
        summary = summary_pb2.Summary(value=[value])
        writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))
    writer.close()


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
