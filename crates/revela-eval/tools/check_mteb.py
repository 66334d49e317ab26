"""Reads a file that `revela eval --mteb-json` wrote with mteb's own reader.

    python -m venv venv && venv/bin/pip install mteb
    venv/bin/python tools/check_mteb.py SciFact.json RESULT.json

Fails if mteb refuses the file, knows no such task, or gets another score out of it than RESULT.json (of
`revela eval --json`, same run) holds.
"""

import json
import pathlib
import sys

from mteb.results import TaskResult


def main(mteb_path, result_path):
    found = TaskResult.from_disk(pathlib.Path(mteb_path))
    ours = json.load(open(result_path, encoding="utf-8"))["metrics"]
    compared = 0
    for split, subsets in found.scores.items():
        for scores in subsets:
            for name, value in ours.items():
                theirs = scores.get(name.replace("@", "_at_"))
                if theirs is not None:
                    assert abs(theirs - value) < 1e-12, (name, theirs, value)
                    compared += 1
    again = TaskResult.model_validate_json(found.model_dump_json())
    assert again.get_score() == found.get_score()
    metadata = found.task.metadata
    assert set(found.scores) <= set(metadata.eval_splits), "a split that the task does not have"
    print(f"{found.task_name}: mteb reads a main score of {found.get_score():.5f} ({metadata.main_score}), "
          f"{compared} metrics equal, languages {found.languages}")
    sys.exit(compared == 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
