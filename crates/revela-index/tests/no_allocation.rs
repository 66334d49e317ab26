//! A search that has warmed up allocates nothing. This file has an allocator of its own, hence one test.
#![allow(clippy::unwrap_used, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::vectors::{RowReader, Vectors, npy};
use revela_index::{
    Coding, CollectionBuilder, CollectionWriter, Effort, RowSearcher, Structure, VectorOptions,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn warm_searches_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = (0..3000 * 72).map(|i: usize| ((i * 7919 % 10_007) as f32).sin()).collect();
    let rows = Vectors::new("rows", 72, data).unwrap();
    let file = dir.path().join("rows.npy");
    npy::write_f32(&file, rows.view()).unwrap();
    for (number, structure) in [Structure::Flat, Structure::Graph].into_iter().enumerate() {
        for (coding, deleted) in [(Coding::Int8, false), (Coding::None, false), (Coding::Int8, true)] {
            let path = dir.path().join(format!("{number}{coding:?}{deleted}"));
            let options = VectorOptions { structure, coding, ..VectorOptions::default() };
            let builder = CollectionBuilder::new(&path).vectors(options).shard_rows(1700);
            let mut reader = RowReader::open(&file).unwrap();
            builder.build_from_vectors(&mut reader, None, &Silent, &Interrupt::new()).unwrap();
            if deleted {
                CollectionWriter::open(&path).unwrap().delete(["1", "2", "2999"]).unwrap();
            }
            let collection = revela_index::Collection::open(&path).unwrap();
            let mut searcher = RowSearcher::new(&collection);
            let mut ask_all = || {
                for query in rows.view().iter().step_by(10) {
                    assert_eq!(searcher.search(query, 10, Effort::Ef(50)).unwrap().len(), 10);
                }
            };
            ask_all();
            let before = ALLOCATIONS.get();
            ask_all();
            assert_eq!(ALLOCATIONS.get(), before, "{structure:?} {coding:?} {deleted}");
        }
    }
}
