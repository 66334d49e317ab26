//! Times exact search of one matrix in another, for benches/peers/exact_numpy.py:
//! `cargo run --release -p revela-index --example flat_scan -- ROWS.npy QUERIES.npy K [REPEATS]`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use cpu_time::ProcessTime;
use revela_index::vectors::Vectors;
use revela_index::{flat, instruction_set};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |i: usize| arguments.get(i).ok_or("give ROWS.npy QUERIES.npy K");
    let rows = Vectors::read(Path::new(argument(1)?))?;
    let queries = Vectors::read(Path::new(argument(2)?))?;
    let k = argument(3)?.parse()?;
    let repeats: usize = arguments.get(4).map_or(Ok(1), |text| text.parse())?;
    for _ in 0..repeats {
        let (wall, cpu) = (Instant::now(), ProcessTime::now());
        let found = flat::search(rows.view(), queries.view(), k, &|_| true)?;
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
        let sum: u64 = found.iter().flatten().map(|hit| u64::from(hit.id)).sum();
        let set = instruction_set();
        let line =
            format!("{{\"wall\": {wall:.4}, \"cpu\": {cpu:.4}, \"ids\": {sum}, \"set\": \"{set}\"}}\n");
        std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    }
    Ok(())
}
