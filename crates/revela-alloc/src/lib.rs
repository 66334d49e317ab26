//! The memory allocator of Revela's programs. Libraries never choose one.
//!
//! A training step frees and takes hundreds of megabytes again and again. An allocator that gives freed
//! memory back to the system makes the kernel clear it anew each time: a third of a step's time.
#![allow(unsafe_code)]

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h, the same number in its versions 2 and 3.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed memory for the next use instead of returning it to the system.
///
/// Call it at the start of a program that trains; one that only serves should leave it.
pub fn keep_freed_memory() {
    // SAFETY: sets one number in the allocator's option table; valid at any time, from any thread.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}
