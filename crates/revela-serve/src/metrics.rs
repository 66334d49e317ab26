//! Counters and histograms, written out in Prometheus' text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of latency buckets, in seconds.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of buckets of sizes.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 2048.0, 8192.0];

/// A step on the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Waiting for the encoder.
    EmbedWait,
    /// In the encoder.
    Embed,
    /// Waiting for the reranker.
    RerankWait,
    /// In the reranker.
    Rerank,
    /// Waiting for a thread to search on.
    SearchWait,
    /// Searching.
    Search,
    /// Making a change durable.
    Write,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::EmbedWait => "embed_wait",
            Self::Embed => "embed",
            Self::RerankWait => "rerank_wait",
            Self::Rerank => "rerank",
            Self::SearchWait => "search_wait",
            Self::Search => "search",
            Self::Write => "write",
        }
    }
}

/// What is counted without labels of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A search turned away before anything was done for it.
    DoorRefused,
    /// Turned away because too many bytes of bodies were there already.
    BodyRefused,
    /// Turned away because the encoder's queue was full.
    EmbedRefused,
    /// Turned away because the reranker's queue was full.
    RerankRefused,
    /// Turned away because too many searches waited.
    SearchRefused,
    /// Turned away because too many changes waited.
    WriteRefused,
    /// Not embedded because the client had gone or the time was over.
    Cancelled,
    /// Tokens embedded.
    Tokens,
    /// Collections opened again after a change.
    Reloaded,
    /// Changed collections that could not be opened again.
    ReloadFailed,
    /// Requests without a valid key.
    KeyRefused,
    /// Requests above a key's rate.
    RateLimited,
}

impl Event {
    const ALL: [Self; 12] = [
        Self::DoorRefused,
        Self::BodyRefused,
        Self::EmbedRefused,
        Self::RerankRefused,
        Self::SearchRefused,
        Self::WriteRefused,
        Self::Cancelled,
        Self::Tokens,
        Self::Reloaded,
        Self::ReloadFailed,
        Self::KeyRefused,
        Self::RateLimited,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::DoorRefused => "revela_refused_total{queue=\"door\"}",
            Self::BodyRefused => "revela_refused_total{queue=\"body\"}",
            Self::EmbedRefused => "revela_refused_total{queue=\"embed\"}",
            Self::RerankRefused => "revela_refused_total{queue=\"rerank\"}",
            Self::SearchRefused => "revela_refused_total{queue=\"search\"}",
            Self::WriteRefused => "revela_refused_total{queue=\"write\"}",
            Self::Cancelled => "revela_cancelled_total",
            Self::Tokens => "revela_embedded_tokens_total",
            Self::Reloaded => "revela_reloads_total{result=\"ok\"}",
            Self::ReloadFailed => "revela_reloads_total{result=\"failed\"}",
            Self::KeyRefused => "revela_keys_refused_total",
            Self::RateLimited => "revela_rate_limited_total",
        }
    }
}

/// How often values fell into each bucket.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn add(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += value;
    }

    fn write(&self, out: &mut String, name: &str, label: &str) {
        let (open, comma) = if label.is_empty() { ("", "") } else { (label, ",") };
        let mut below = 0;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            below += count;
            let _ = writeln!(out, "{name}_bucket{{{open}{comma}le=\"{bound}\"}} {below}");
        }
        let all: u64 = self.counts.iter().sum();
        let braced = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        let _ = writeln!(out, "{name}_bucket{{{open}{comma}le=\"+Inf\"}} {all}");
        let _ = writeln!(out, "{name}_sum{braced} {}\n{name}_count{braced} {all}", self.sum);
    }
}

/// All counters of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, String, u16), u64>>,
    latencies: Mutex<BTreeMap<String, Histogram>>,
    stages: Mutex<BTreeMap<Stage, Histogram>>,
    batches: Mutex<Histogram>,
    events: [AtomicU64; Event::ALL.len()],
    connections: AtomicI64,
    in_flight: AtomicI64,
}

/// Counts something that lasts, for as long as it is held.
pub(crate) struct Lasting<'a>(&'a AtomicI64);

impl<'a> Lasting<'a> {
    fn start(gauge: &'a AtomicI64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Lasting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Mutex::default(),
            latencies: Mutex::default(),
            stages: Mutex::default(),
            batches: Mutex::new(Histogram::new(&SIZES)),
            events: Default::default(),
            connections: AtomicI64::new(0),
            in_flight: AtomicI64::new(0),
        }
    }
}

/// A lock whose holder never leaves anything half-done, so that poison means nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Metrics {
    /// A request was answered. `route` is a pattern, never a path, so that there are few of them.
    pub(crate) fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        *lock(&self.requests).entry((method, route.to_owned(), status)).or_default() += 1;
        let mut latencies = lock(&self.latencies);
        if !latencies.contains_key(route) {
            latencies.insert(route.to_owned(), Histogram::new(&SECONDS));
        }
        if let Some(histogram) = latencies.get_mut(route) {
            histogram.add(took.as_secs_f64());
        }
    }

    pub(crate) fn stage(&self, stage: Stage, took: Duration) {
        let mut stages = lock(&self.stages);
        stages.entry(stage).or_insert_with(|| Histogram::new(&SECONDS)).add(took.as_secs_f64());
    }

    /// A batch of this many texts went through the encoder.
    pub(crate) fn batch(&self, texts: usize, tokens: usize) {
        lock(&self.batches).add(texts as f64);
        self.add(Event::Tokens, tokens as u64);
    }

    pub(crate) fn count(&self, event: Event) {
        self.add(event, 1);
    }

    fn add(&self, event: Event, count: u64) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn connection(&self) -> Lasting<'_> {
        Lasting::start(&self.connections)
    }

    pub(crate) fn request_in_flight(&self) -> Lasting<'_> {
        Lasting::start(&self.in_flight)
    }

    /// Everything in Prometheus' text form; `gauges` are (name with labels, value).
    pub(crate) fn text(&self, gauges: &[(String, f64)]) -> String {
        let mut out = String::new();
        out.push_str(
            "# HELP revela_requests_total Requests answered.\n# TYPE revela_requests_total counter\n",
        );
        for ((method, route, status), count) in lock(&self.requests).iter() {
            let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
            let _ = writeln!(out, "revela_requests_total{{{labels}}} {count}");
        }
        out.push_str("# HELP revela_request_seconds From a request's head to its answer.\n");
        out.push_str("# TYPE revela_request_seconds histogram\n");
        for (route, histogram) in lock(&self.latencies).iter() {
            histogram.write(&mut out, "revela_request_seconds", &format!("route=\"{route}\""));
        }
        out.push_str(
            "# HELP revela_stage_seconds Time in each stage.\n# TYPE revela_stage_seconds histogram\n",
        );
        for (stage, histogram) in lock(&self.stages).iter() {
            histogram.write(&mut out, "revela_stage_seconds", &format!("stage=\"{}\"", stage.name()));
        }
        out.push_str("# HELP revela_batch_texts Texts per batch.\n# TYPE revela_batch_texts histogram\n");
        lock(&self.batches).write(&mut out, "revela_batch_texts", "");
        let mut family = "";
        for (event, count) in Event::ALL.iter().zip(&self.events) {
            let name = event.name();
            let base = name.split('{').next().unwrap_or(name);
            if base != family {
                let _ = writeln!(out, "# TYPE {base} counter");
                family = base;
            }
            let _ = writeln!(out, "{name} {}", count.load(Ordering::Relaxed));
        }
        let lasting =
            [("revela_connections", &self.connections), ("revela_requests_in_flight", &self.in_flight)];
        let lasting = lasting.map(|(name, gauge)| (name.to_owned(), gauge.load(Ordering::Relaxed) as f64));
        for (name, value) in lasting.iter().chain(gauges) {
            let base = name.split('{').next().unwrap_or(name);
            // Readers want a family's type once.
            if base != family {
                let _ = writeln!(out, "# TYPE {base} gauge");
                family = base;
            }
            let _ = writeln!(out, "{name} {value}");
        }
        out
    }
}

/// Bytes of memory that this process holds, where the system tells.
pub(crate) fn resident_bytes() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_labels_are_kept() {
        let metrics = Metrics::default();
        for millis in [1, 3, 3, 20_000] {
            metrics.request("POST", "/v1/search", 200, Duration::from_millis(millis));
        }
        metrics.stage(Stage::Search, Duration::from_millis(2));
        metrics.batch(3, 70);
        metrics.count(Event::EmbedRefused);
        let held = metrics.connection();
        let text = metrics.text(&[("revela_queue{lane=\"query\"}".to_owned(), 5.0)]);
        drop(held);
        let queues = ["query", "passage"].map(|lane| (format!("revela_queue{{lane=\"{lane}\"}}"), 1.0));
        assert_eq!(metrics.text(&queues).matches("# TYPE revela_queue gauge").count(), 1);
        for line in [
            "revela_requests_total{method=\"POST\",route=\"/v1/search\",status=\"200\"} 4",
            "revela_request_seconds_bucket{route=\"/v1/search\",le=\"0.001\"} 1",
            "revela_request_seconds_bucket{route=\"/v1/search\",le=\"0.005\"} 3",
            "revela_request_seconds_bucket{route=\"/v1/search\",le=\"10\"} 3",
            "revela_request_seconds_bucket{route=\"/v1/search\",le=\"+Inf\"} 4",
            "revela_request_seconds_count{route=\"/v1/search\"} 4",
            "revela_stage_seconds_count{stage=\"search\"} 1",
            "revela_batch_texts_bucket{le=\"4\"} 1",
            "revela_refused_total{queue=\"embed\"} 1",
            "revela_embedded_tokens_total 70",
            "revela_connections 1",
            "revela_queue{lane=\"query\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(metrics.text(&[]).contains("revela_connections 0"));
        for (number, event) in Event::ALL.iter().enumerate() {
            assert_eq!(*event as usize, number);
        }
    }
}
