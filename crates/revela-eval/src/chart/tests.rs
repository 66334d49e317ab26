use super::*;
use crate::statistics::Interval;

/// Checks that the text is well-formed XML as far as these charts use it, and returns its text nodes.
fn texts(svg: &Svg) -> Vec<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut texts = Vec::new();
    for part in svg.as_str().split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("every tag is closed");
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None => open.push(name),
        }
        assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag}");
        if !text.is_empty() && open.last() != Some(&"style") {
            texts.push(text.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    assert!(!svg.as_str().chars().any(|c| c.is_control()), "XML allows no control characters");
    texts
}

fn line(points: &[(f64, f64)]) -> LineChart {
    LineChart {
        title: "Loss".into(),
        x: Axis::linear("step"),
        y: Axis::log("nats"),
        series: vec![Series::new("a", points.iter().copied())],
        levels: vec![Level { name: "bm25".into(), value: 2.0 }],
    }
}

#[test]
fn a_line_chart_says_what_it_shows() {
    let texts = texts(&line(&[(0.0, 9.0), (100.0, 3.0)]).to_svg());
    for expected in ["Loss", "step", "nats", "a", "bm25", "a: 100, 3", "5"] {
        assert!(texts.iter().any(|text| text == expected), "{expected} is not in {texts:?}");
    }
}

#[test]
fn lines_break_at_what_cannot_be_shown_and_say_so() {
    let svg = line(&[(0.0, 9.0), (1.0, 8.0), (2.0, f64::NAN), (3.0, -1.0), (4.0, 5.0), (5.0, 4.0)]).to_svg();
    assert_eq!(svg.as_str().matches("<polyline").count(), 2);
    assert!(texts(&svg).contains(&"2 of 6 points cannot be shown on these axes".to_owned()));
}

#[test]
fn charts_without_data_say_so() {
    let mut charts = vec![LineChart::default().to_svg(), BarChart::default().to_svg()];
    charts.push(ScatterChart::default().to_svg());
    charts.push(line(&[(f64::NAN, 1.0)]).to_svg());
    for svg in charts {
        assert!(texts(&svg).contains(&"no data".to_owned()));
    }
}

#[test]
fn bars_carry_their_values_and_leave_gaps() {
    let interval = |mean| Some(Interval { mean, low: mean - 2.0, high: mean + 2.0 });
    let bad = Some(Interval { mean: f64::NAN, low: 0.0, high: 1.0 });
    let chart = BarChart {
        title: "t".into(),
        y_label: "points".into(),
        groups: vec!["ndcg@10".into(), "mrr@10".into()],
        series: vec![
            BarSeries { name: "bm25".into(), values: vec![interval(59.24), None] },
            BarSeries { name: "short".into(), values: vec![interval(-3.0)] },
            BarSeries { name: "bad".into(), values: vec![bad, interval(5.0)] },
        ],
    };
    let svg = chart.to_svg();
    let texts = texts(&svg);
    for expected in ["ndcg@10", "59.2", "bm25: 59.24 [57.24, 61.24]", "1 of 4 bars are not finite numbers"] {
        assert!(texts.iter().any(|text| text == expected), "{expected} is not in {texts:?}");
    }
    assert_eq!(svg.as_str().matches("class=\"rv-whisker\"").count(), 3);
}

#[test]
fn equal_points_are_merged_and_counted() {
    let points =
        [("q1", 0.0, 1.0), ("q2", 0.0, 1.0), ("q3", 0.5, 0.5), ("q4", 1.0, 0.2), ("q5", f64::NAN, 0.2)];
    let chart = ScatterChart {
        title: "t".into(),
        x_name: "bm25".into(),
        y_name: "revela".into(),
        quantity: "nDCG@10".into(),
        points: points.map(|(query, x, y)| QueryPoint { query: query.to_owned(), x, y }).to_vec(),
    };
    let texts = texts(&chart.to_svg());
    for expected in [
        "q1, q2: 0, 1",
        "revela is better: 2 queries",
        "bm25 is better: 1",
        "equal: 1",
        "bm25 (nDCG@10)",
        "1 of 5 points are not finite numbers",
    ] {
        assert!(texts.iter().any(|text| text == expected), "{expected} is not in {texts:?}");
    }
}

#[test]
fn light_and_dark_colours_are_both_there() {
    let svg = line(&[(0.0, 9.0), (100.0, 3.0)]).to_svg();
    assert!(svg.as_str().contains("@media (prefers-color-scheme:dark)"));
    assert!(!svg.as_str().contains("href") && !svg.as_str().contains("url("));
}

mod any_numbers {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn draw(numbers in proptest::collection::vec((proptest::num::f64::ANY, proptest::num::f64::ANY), 0..12)) {
            texts(&line(&numbers).to_svg());
            let points = numbers.iter().map(|&(x, y)| QueryPoint { query: "q".to_owned(), x, y }).collect();
            texts(&ScatterChart { points, ..ScatterChart::default() }.to_svg());
            let bar = |&(a, b): &(f64, f64)| Some(Interval { mean: a, low: b, high: a });
            let series = vec![BarSeries { name: "s".into(), values: numbers.iter().map(bar).collect() }];
            let groups = numbers.iter().map(|_| "g".to_owned()).collect();
            texts(&BarChart { series, groups, ..BarChart::default() }.to_svg());
        }
    }
}
