"""Compares a result of Revela with what pytrec_eval and ir-measures make of the same run file.

    METRICS=ndcg@10,recall@100,map,success@5,precision@10,r_precision,map@100,ndcg,mrr
    revela eval --data DIR --mode bm25 --metrics $METRICS --run RUN --json RESULT.json
    python tools/check_run.py DIR/qrels/test.tsv RUN RESULT.json

Fails if any query's value differs by more than 1e-9. Queries that the run does not answer count as 0.
"""

import json
import sys

import ir_measures
import pytrec_eval

TREC = {
    "ndcg@10": "ndcg_cut_10", "recall@100": "recall_100", "map": "map", "success@5": "success_5",
    "precision@10": "P_10", "r_precision": "Rprec", "map@100": "map_cut_100", "ndcg": "ndcg", "mrr": "recip_rank",
}
IR = {"ndcg@10": "nDCG@10", "recall@100": "R@100", "map": "AP", "success@5": "Success@5", "precision@10": "P@10",
      "r_precision": "Rprec", "map@100": "AP@100", "ndcg": "nDCG", "mrr": "RR"}


def read_qrels(path):
    qrels = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            query, document, grade = line.rstrip("\n").split("\t")
            if grade != "score":
                qrels.setdefault(query, {})[document] = int(grade)
    return qrels


def main(qrels_path, run_path, result_path):
    qrels = read_qrels(qrels_path)
    with open(run_path, encoding="utf-8") as lines:
        run = pytrec_eval.parse_run(lines)
    result = json.load(open(result_path, encoding="utf-8"))["per_query"]
    measures = {"ndcg_cut.10", "recall.100", "map", "success.5", "P.10", "Rprec", "map_cut.100", "ndcg", "recip_rank"}
    trec = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    other = {name: ir_measures.parse_measure(theirs) for name, theirs in IR.items()}
    values = {(m.query_id, str(m.measure)): m.value for m in ir_measures.iter_calc(other.values(), qrels, run)}
    worst = compared = 0
    for name, theirs in TREC.items():
        assert result[name].keys() == qrels.keys(), "other queries"
        for query, value in result[name].items():
            expected = [trec.get(query, {}).get(theirs, 0.0), values.get((query, str(other[name])), 0.0)]
            worst = max(worst, *(abs(value - e) for e in expected))
            compared += 2
    print(f"{compared} values compared, largest difference {worst:.1e}")
    sys.exit(worst > 1e-9)


if __name__ == "__main__":
    main(*sys.argv[1:])
