#!/usr/bin/env python3
"""How often features exceed a surprise on points that are labelled normal, and how often they should.

  calibration.py DATA_DIR SCORES_DIR    every NAME.labels.csv[.gz] of DATA_DIR with SCORES_DIR/NAME.csv, as `kanary replay` prints it
"""
import csv, gzip, os, sys

data, scores = sys.argv[1:3]
LEVELS = [2, 3, 4]
over, points = [0] * len(LEVELS), 0
for name in sorted(os.listdir(data)):
    series, mark, _ = name.partition(".labels.csv")
    if not mark:
        continue
    path = os.path.join(data, name)
    with (gzip.open(path, "rt") if name.endswith(".gz") else open(path)) as labels:
        normal = [row["label"] == "0" for row in csv.DictReader(labels)]
    with open(os.path.join(scores, series + ".csv")) as replayed:
        rows = csv.reader(replayed)
        next(rows)
        for row in (row for row, good in zip(rows, normal) if good):
            surprises = [float(cell) for cell in row[3:] if cell]
            points += len(surprises)
            for i, level in enumerate(LEVELS):
                over[i] += sum(s >= level for s in surprises)
for level, n in zip(LEVELS, over):
    print(f"features: nominal 1e-{level}, actual {n / max(points, 1):.2e} of {points} normal points")
