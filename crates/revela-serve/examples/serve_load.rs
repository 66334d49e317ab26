//! Loads a running server for a given time and prints one JSON line of what came back.
//!
//! Without `--rate` every connection sends its next search as soon as it has the answer to the last. With
//! `--rate` searches are due at fixed times, whatever the server does, and their latency counts from then on,
//! so that a server that falls behind cannot hide it.
//!
//! ```sh
//! cargo run --release -p revela-serve --example serve_load -- 127.0.0.1:8080 --mode hybrid -c 16 --seconds 20
//! ```

#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Loads a running server for a given time.
#[derive(Parser, Clone)]
struct Load {
    /// The server.
    address: SocketAddr,
    /// What is searched with.
    #[arg(long, value_enum, default_value = "hybrid")]
    mode: Mode,
    /// Connections.
    #[arg(short, long, default_value_t = 16)]
    concurrency: usize,
    /// How long.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How much longer before that, uncounted: until the server knows the load.
    #[arg(long, default_value_t = 0.0)]
    warm: f64,
    /// How often the server's memory is looked at meanwhile.
    #[arg(long, default_value_t = 1)]
    looks: u32,
    /// Searches per second over all connections.
    #[arg(long)]
    rate: Option<f64>,
    /// Hits.
    #[arg(short, default_value_t = 10)]
    k: usize,
    /// A query per line; without it, queries of common words of programming.
    #[arg(long)]
    queries: Option<PathBuf>,
}

/// What is searched with.
#[derive(Clone, Copy, ValueEnum, Debug)]
enum Mode {
    /// Texts, by meaning.
    Dense,
    /// Texts, by words.
    Bm25,
    /// Texts, by both.
    Hybrid,
    /// Given vectors.
    Vector,
}

const WORDS: [&str; 24] = [
    "read", "file", "buffer", "line", "parse", "header", "socket", "listen", "thread", "queue", "sort",
    "hash", "map", "string", "number", "error", "message", "stream", "write", "page", "index", "search",
    "token", "cache",
];

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// A connection that is opened again when the server closes it.
struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    fn send(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
        let answer = self.try_send(method, path, body);
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    fn try_send(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(Duration::from_secs(60)))?;
                empty.insert(BufReader::new(stream))
            }
        };
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Err("the server closed the connection".into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            match (status, text.to_ascii_lowercase().split_once(": ")) {
                (None, _) => status = text.split(' ').nth(1).and_then(|status| status.parse().ok()),
                (_, Some(("content-length", value))) => length = value.parse()?,
                _ => {}
            }
        }
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes)?;
        Ok((status.ok_or("an answer without a status")?, bytes))
    }
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    served: Vec<f64>,
    /// Of the served, from when they were sent, which is later than due where this program falls behind.
    answered: Vec<f64>,
    refused: Vec<f64>,
    failed: usize,
}

fn body(load: &Load, queries: &[String], dimension: usize, numbers: &mut Numbers) -> String {
    let mut body = json!({ "k": load.k, "include_text": false });
    let members: Vec<(&str, Value)> = match load.mode {
        Mode::Vector => {
            let number = |_| numbers.next() as f64 / u64::MAX as f64 - 0.5;
            vec![("vector", (0..dimension).map(number).collect::<Vec<f64>>().into())]
        }
        mode => {
            let mode = format!("{mode:?}").to_lowercase();
            let query = queries.get(numbers.below(queries.len())).cloned().unwrap_or_else(|| {
                let words = (0..5).map(|_| WORDS[numbers.below(WORDS.len())]);
                words.collect::<Vec<_>>().join(" ")
            });
            vec![("query", query.into()), ("mode", mode.into())]
        }
    };
    members.into_iter().for_each(|(key, value)| body[key] = value);
    body.to_string()
}

fn connection(load: &Load, queries: &[String], dimension: usize, number: usize, start: Instant) -> Seen {
    let mut client = Client { address: load.address, stream: None };
    let mut numbers = Numbers((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut seen = Seen::default();
    let counted = start + Duration::from_secs_f64(load.warm);
    let end = counted + Duration::from_secs_f64(load.seconds);
    let step = load.rate.map(|rate| Duration::from_secs_f64(load.concurrency as f64 / rate));
    let mut due = start + step.unwrap_or_default().mul_f64(number as f64 / load.concurrency as f64);
    loop {
        match step {
            Some(_) => std::thread::sleep(due.saturating_duration_since(Instant::now())),
            None => due = Instant::now(),
        }
        if due >= end || Instant::now() >= end {
            return seen;
        }
        let body = body(load, queries, dimension, &mut numbers);
        let sent = Instant::now();
        let answer = client.send("POST", "/v1/search", &body);
        let from_sending = sent.elapsed().as_secs_f64() * 1e3;
        let millis = due.elapsed().as_secs_f64() * 1e3;
        match answer {
            Ok(_) if due < counted => {}
            Ok((200, _)) => {
                seen.served.push(millis);
                seen.answered.push(from_sending);
            }
            Ok((429, _)) => seen.refused.push(from_sending),
            _ => seen.failed += 1,
        }
        due += step.unwrap_or_default();
    }
}

/// The value below which this share lies.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).map(|value| (value * 100.0).round() / 100.0)
}

fn metric(client: &mut Client, name: &str) -> Result<f64> {
    let text = String::from_utf8(client.send("GET", "/metrics", "")?.1)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such metric")?;
    Ok(line.trim().parse()?)
}

fn megabytes(client: &mut Client) -> Result<f64> {
    Ok((metric(client, "process_resident_memory_bytes")? / 1e5).round() / 10.0)
}

fn main() -> Result<()> {
    let load = Load::parse();
    let queries: Vec<String> = match &load.queries {
        Some(path) => std::fs::read_to_string(path)?.lines().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let mut client = Client { address: load.address, stream: None };
    let list: Value = serde_json::from_slice(&client.send("GET", "/v1/collections", "")?.1)?;
    let dimension = list["collections"][0]["dimension"].as_u64().unwrap_or(0) as usize;
    let mut memory = vec![megabytes(&mut client)?];
    let start = Instant::now();
    let seen = std::thread::scope(|scope| -> Result<Vec<Seen>> {
        let run = |number| {
            let (load, queries) = (&load, &queries);
            scope.spawn(move || connection(load, queries, dimension, number, start))
        };
        let threads: Vec<_> = (0..load.concurrency).map(run).collect();
        let all = Duration::from_secs_f64(load.warm + load.seconds);
        for look in 1..load.looks {
            let at = start + all * look / load.looks;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            memory.push(megabytes(&mut Client { address: load.address, stream: None })?);
        }
        // A connection that is not driven any more would make the figures those of another load.
        let seen =
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a connection's thread died".into()));
        seen.collect::<Result<_>>()
    })?;
    let seconds = start.elapsed().as_secs_f64() - load.warm;
    let all = |which: fn(&Seen) -> &Vec<f64>| {
        let mut all: Vec<f64> = seen.iter().flat_map(|seen| which(seen).iter().copied()).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (served, refused) = (all(|seen| &seen.served), all(|seen| &seen.refused));
    let answered = all(|seen| &seen.answered);
    memory.push(megabytes(&mut Client { address: load.address, stream: None })?);
    let line = json!({
        "mode": format!("{:?}", load.mode).to_lowercase(),
        "concurrency": load.concurrency,
        "rate": load.rate,
        "seconds": (seconds * 10.0).round() / 10.0,
        "passages": list["collections"][0]["passages"],
        "served": served.len(),
        "refused": refused.len(),
        "failed": seen.iter().map(|seen| seen.failed).sum::<usize>(),
        "served_per_second": (served.len() as f64 / seconds).round(),
        "p50_ms": quantile(&served, 0.5),
        "p99_ms": quantile(&served, 0.99),
        "max_ms": quantile(&served, 1.0),
        "from_sending_p50_ms": quantile(&answered, 0.5),
        "from_sending_p99_ms": quantile(&answered, 0.99),
        "refused_p50_ms": quantile(&refused, 0.5),
        "refused_p99_ms": quantile(&refused, 0.99),
        "memory_mb": memory,
    });
    println!("{line}");
    Ok(())
}
