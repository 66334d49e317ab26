//! Draws what `benches/peers/vector_search.py` has measured.
//!
//! `cargo run -p revela-eval --example search_curves -- RESULT.json OUT.svg`

use std::path::Path;

use revela_eval::chart::{Axis, LineChart, Point, Series};
use serde_json::Value;

/// Recalls below this are of no use to anyone, and would take most of the width.
const LEAST: f64 = 0.8;

fn series(name: &str, curves: &Value) -> Series {
    let numbers = |point: &Value| -> Option<Point> {
        let [ef, recall, _, per_cpu_second] = point.as_array()?.as_slice() else { return None };
        let label = format!("ef {ef}");
        Some(Point { x: recall.as_f64()?, y: per_cpu_second.as_f64()?, label })
    };
    let points = curves["1"].as_array().into_iter().flatten().filter_map(numbers);
    Series { name: name.to_owned(), points: points.filter(|point| point.x >= LEAST).collect() }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, out] = arguments.as_slice() else {
        return Err("usage: search_curves RESULT.json OUT.svg".into());
    };
    let result: Value = serde_json::from_slice(&std::fs::read(input)?)?;
    let curves = result["curves"].as_object().ok_or("the file holds no curves")?;
    let chart = LineChart {
        title: format!("Vector search, {} x {}, one thread", result["rows"][0], result["rows"][1]),
        x: Axis::linear("recall@10"),
        y: Axis::log("queries per CPU second"),
        series: curves.iter().map(|(name, curves)| series(name, curves)).collect(),
        levels: Vec::new(),
    };
    Ok(chart.to_svg().write(Path::new(out))?)
}
