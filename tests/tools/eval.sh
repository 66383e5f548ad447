#!/bin/sh
# Replays the labelled series beside the checkout through the detector and scores it: NAB's three profiles, and the
# area under precision and recall and calibration on recorded hosts. Any other folder of the same form can be given.
#
#   tests/tools/eval.sh [DATA]    DATA: ../shared/anomaly-data
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-$top/../shared/anomaly-data}
kanary=$top/target/release/kanary
[ -e "$data/score.py" ] || { echo "eval: needs labelled series and score.py in $data"; exit 1; }
"$top/tests/tools/fetch.sh" python numpy
for folder in "$data"/*/; do
    set=$(basename "$folder")
    scores=$top/target/eval/$set
    rm -rf "$scores" && mkdir -p "$scores"
    for series in "$folder"*.csv "$folder"*.csv.gz; do
        case $series in *.labels.csv* | *'*'*) continue ;; esac
        name=$(basename "$series" .gz)
        "$kanary" replay "$series" >"$scores/$name"
    done
    case $set in nab) how=nab ;; *) how=host ;; esac
    echo "## $set"
    "$top/target/tools/bin/python3" "$data/score.py" $how "$folder" "$scores"
    [ $how = nab ] || "$top/target/tools/bin/python3" "$top/tests/tools/calibration.py" "$folder" "$scores"
done
