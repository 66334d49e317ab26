//! Teachers, what they said, and recipes: with tiny models, through the program.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::Path;

use common::{Place, text};

/// A tiny encoder of random weights.
fn encoder() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../revela-model/tests/golden/bert").display().to_string()
}

fn place() -> Place {
    let place = Place::new();
    place.code("src", 12);
    place
}

#[test]
fn what_teachers_say_is_kept_and_learnt_from() {
    let place = place();
    place.succeed("data chunk --input src --out chunks.jsonl --keep-all --size 60");
    place.succeed("data group --chunks chunks.jsonl --out groups.jsonl --group-size 4 --keep-all");
    place.succeed(
        "model new --chunks chunks.jsonl --out lm --vocabulary 300 --hidden 32 --layers 2 --heads 2",
    );
    let teach =
        format!("teach --groups groups.jsonl --lm lm --bm25 code --encoder {} --lm-max-length 32", encoder());
    assert!(place.succeed(&format!("{teach} --out taught --limit 2")).starts_with("2 groups"));
    let first = std::fs::read_to_string(place.path("taught/targets.jsonl")).unwrap();
    for signal in ["likelihood", "bm25", "encoder"] {
        assert!(first.contains(&format!("\"{signal}\":[[")), "{first}");
    }
    // What was said stands, and more is added to it.
    assert!(place.succeed(&format!("{teach} --out taught --limit 3")).starts_with("3 groups"));
    let more = std::fs::read_to_string(place.path("taught/targets.jsonl")).unwrap();
    let records =
        |text: &str| text.lines().filter(|line| line.contains("signals")).map(str::to_owned).collect();
    let (first, more): (Vec<String>, Vec<String>) = (records(&first), records(&more));
    assert!(more.len() == 3 && first.iter().all(|record| more.contains(record)));
    place.fail("teach --groups groups.jsonl --out taught --bm25 code", &["other teachers"]);
    place.fail("teach --groups groups.jsonl --out other", &["--lm, --encoder or --bm25"]);

    let train = format!(
        "train --objective query-likelihood --retriever {} --teacher-bm25 0.1 --teacher-encoder 5 --hard-weight 1 \
         --batch-groups 3 --steps 2",
        encoder()
    );
    place.succeed(&format!("{train} --groups taught/groups.jsonl --targets taught/targets.jsonl --out run"));
    let log = std::fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    for number in ["divergence", "teacher_accuracy", "loss_own"] {
        assert!(log.contains(number), "{log}");
    }
    place.succeed("data group --chunks chunks.jsonl --out others.jsonl --group-size 5 --keep-all");
    let others = format!("{train} --groups others.jsonl --targets taught/targets.jsonl --out others");
    place.fail(&others, &["targets", "nothing of the group"]);
    place.fail(&format!("{train} --groups groups.jsonl --out none"), &["targets", "revela teach"]);
}

#[test]
fn a_recipe_does_everything_and_goes_on() {
    let place = place();
    let recipe = include_str!("../../../recipes/adapt.toml");
    let recipe = recipe.replace("share = 0.1", "share = 0.4").replace("max_length = 160", "max_length = 48");
    place.write(
        "small.toml",
        recipe.replace("batch_groups = 4", "batch_groups = 1").replace("size = 120", "size = 60"),
    );
    place.succeed("data code-search --input src --out judged --queries 40");
    let split = std::fs::read_dir(place.path("judged/qrels")).unwrap().next().unwrap().unwrap().path();
    let split = split.file_stem().unwrap().to_string_lossy().into_owned();
    let command = format!(
        "train --recipe small.toml --corpus src --encoder {} --minutes 0.05 --out run --eval-data judged \
         --eval-split {split}",
        encoder()
    );
    let output = place.run(&command);
    let (said, remarks) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{remarks}");
    assert!(said.contains("before") && said.contains("after") && said.contains("ndcg@10"), "{said}");
    assert!(remarks.contains("held-out, 1 of the way"), "{remarks}");
    assert!(place.path("run/best/model.safetensors").exists());
    place.succeed("model info run/best");
    // A second call trains no more, and measures the same.
    assert_eq!(place.succeed(&command), said);
    place.fail(&command.replace("0.05", "0.06"), &["other settings"]);
    place.fail("train --recipe no-such --corpus src --encoder e --minutes 1 --out x", &["adapt"]);
}
