//! Draws one of everything this crate can draw, from made-up numbers, to look at:
//! `cargo run -p revela-eval --example gallery -- FOLDER`.

use std::error::Error;
use std::path::Path;

use rand::Rng;
use revela_base::file::create_dir;
use revela_base::seed::Seed;
use revela_eval::chart::{
    Axis, BarChart, BarSeries, Level, LineChart, Point, QueryPoint, ScatterChart, Series, Svg,
};
use revela_eval::html::{Excerpt, Page, QueryCase};
use revela_eval::metrics::Metric;
use revela_eval::statistics::Interval;
use revela_eval::{DatasetSummary, Report};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder shall the charts go to?")?;
    let folder = Path::new(&folder);
    create_dir(folder)?;
    let report = report();
    let charts = [
        ("loss", losses()),
        ("held-out", held_out()),
        ("recall", recall()),
        ("systems", report.chart("Held-out code search").to_svg()),
        ("one-metric", one_metric()),
        ("scatter", scatter()),
        ("many", many_series()),
        ("empty", LineChart { title: "Nothing yet".into(), ..LineChart::default() }.to_svg()),
    ];
    for (name, svg) in &charts {
        svg.write(&folder.join(format!("{name}.svg")))?;
    }
    let mut page = Page::new("Quickstart: held-out code search");
    page.paragraph("Every number here is made up; the page shows what reports look like.")
        .heading("What each stage bought")
        .table(&report.table(), "Means over 612 queries with 95% bootstrap intervals; the best is in bold.")
        .preformatted("revela quickstart --minutes 12");
    for (name, svg) in &charts {
        page.heading(name).figure(svg, "A caption says what to look for, in a sentence or two.");
    }
    page.heading("Worst queries").queries(&cases());
    page.write(&folder.join("report.html"))?;
    Ok(())
}

/// Evenly spread in [0, 1).
fn uniform(rng: &mut impl Rng) -> f64 {
    f64::from(rng.next_u32()) / 2f64.powi(32)
}

fn losses() -> Svg {
    let mut rng = Seed(1).stream("loss");
    let mut curve = |name: &str, floor: f64, speed: f64| {
        let mut noise = || 0.25 * (uniform(&mut rng) - 0.5);
        Series::new(
            name,
            (0..5000).map(|s| (f64::from(s), floor + 7.0 * (-f64::from(s) / speed).exp() + noise())),
        )
    };
    let series = vec![curve("plain", 3.4, 500.0), curve("with the batch", 3.1, 520.0)];
    let chart = LineChart {
        title: "Training loss".into(),
        x: Axis::linear("step"),
        y: Axis::log("next-token loss (nats per token)"),
        series,
        levels: vec![],
    };
    chart.to_svg()
}

fn held_out() -> Svg {
    let scores = [0.7, 3.1, 7.5, 9.8, 14.2, 18.9, 21.5, 23.0, 23.6];
    let points = scores.iter().enumerate().map(|(i, s)| (250.0 * i as f64, *s));
    let chart = LineChart {
        title: "Held-out nDCG@10 over training".into(),
        x: Axis::linear("step"),
        y: Axis::linear("nDCG@10 (points of 100)"),
        series: vec![Series::new("retriever", points)],
        levels: vec![Level { name: "BM25: 29.2".into(), value: 29.2 }],
    };
    chart.to_svg()
}

fn recall() -> Svg {
    let line = |name: &str, points: &[(f64, f64, u32)]| Series {
        name: name.into(),
        points: points.iter().map(|&(x, y, ef)| Point { x, y, label: format!("ef_search {ef}") }).collect(),
    };
    let chart = LineChart {
        title: "Recall against speed, 100,000 vectors of 384".into(),
        x: Axis::log("queries per second, one thread"),
        y: Axis::linear("recall@10"),
        series: vec![
            line(
                "int8 + rescoring",
                &[(69_852., 0.90, 10), (44_606., 0.95, 20), (19_513., 0.99, 64), (6_038., 0.999, 256)],
            ),
            line(
                "f32",
                &[(21_781., 0.90, 10), (14_544., 0.95, 20), (5_521., 0.99, 64), (1_813., 0.999, 256)],
            ),
            line("exact scan", &[(3_700., 1.0, 0)]),
        ],
        levels: vec![],
    };
    chart.to_svg()
}

fn report() -> Report {
    let mut report = Report {
        dataset: DatasetSummary {
            name: "held-out crates".into(),
            split: "test".into(),
            documents: 3_412,
            queries: 612,
            ..Default::default()
        },
        ..Report::default()
    };
    let systems =
        [("bm25", 0.592), ("untrained", 0.007), ("contrastive", 0.184), ("revela", 0.236), ("fused", 0.641)];
    for (system, ndcg) in systems {
        let interval = |mean: f64| Interval {
            mean,
            low: mean - 0.2 * mean * (1.0 - mean),
            high: mean + 0.2 * mean * (1.0 - mean),
        };
        let values = [
            (Metric::NDCG_10, ndcg),
            (Metric::RECALL_100, 1.0 - (1.0 - ndcg) * (1.0 - ndcg)),
            (Metric::MRR_10, 0.93 * ndcg),
        ];
        report.systems.insert(
            system.into(),
            values.map(|(metric, mean)| (metric, interval(mean))).into_iter().collect(),
        );
    }
    report
}

fn one_metric() -> Svg {
    let bar = |name: &str, mean: f64| BarSeries {
        name: name.into(),
        values: vec![Some(Interval { mean, low: mean - 2.1, high: mean + 2.3 })],
    };
    let chart = BarChart {
        title: "SciFact test".into(),
        y_label: "nDCG@10 (points of 100)".into(),
        groups: vec!["ndcg@10".into()],
        series: vec![bar("BM25", 67.2), bar("all-MiniLM-L6-v2", 64.5)],
    };
    chart.to_svg()
}

fn scatter() -> Svg {
    let mut rng = Seed(2).stream("scatter");
    let mut point = |i: u32| {
        let (a, b) = (uniform(&mut rng).powi(2), uniform(&mut rng));
        let snap = |v: f64| {
            if v < 0.2 {
                0.0
            } else if v > 0.75 {
                1.0
            } else {
                v
            }
        };
        QueryPoint { query: format!("q{i}"), x: snap(a), y: snap(0.4 * a + 0.7 * b) }
    };
    let chart = ScatterChart {
        title: "Query by query".into(),
        x_name: "BM25".into(),
        y_name: "BM25 + retriever".into(),
        quantity: "nDCG@10".into(),
        points: (0..400).map(&mut point).collect(),
    };
    chart.to_svg()
}

fn many_series() -> Svg {
    let curve = |i: u32| {
        Series::new(
            format!("run {i}, tau {:.2}", 0.01 * f64::from(i + 1)),
            (0..30).map(move |s| (f64::from(s), f64::from(i) + (f64::from(s) / 5.0).sqrt())),
        )
    };
    let chart = LineChart {
        title: "Ten runs".into(),
        x: Axis::linear("step"),
        y: Axis::linear("score"),
        series: (0..10).map(curve).collect(),
        levels: vec![],
    };
    chart.to_svg()
}

fn cases() -> Vec<QueryCase> {
    let excerpt = |id: &str, text: &str| Excerpt { id: id.into(), text: text.into() };
    vec![QueryCase {
        id: "rayon-core/src/registry.rs#412".into(),
        text: "Waits for the worker threads to stop. <b>Not bold</b>".into(),
        scores: vec![("bm25".into(), 0.63), ("revela".into(), 0.0)],
        relevant: vec![excerpt(
            "f812",
            "pub(super) fn wait_until_stopped(&self) {\n    self.release_thread();\n}",
        )],
        retrieved: vec![
            excerpt("f17", "fn stop(&self) -> bool {\n    self.stopped\n}"),
            excerpt("f99", "fn join() {}"),
        ],
    }]
}
