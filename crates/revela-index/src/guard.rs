//! Files that are cut short while they are mapped.
//!
//! Touching a mapped page that its file no longer has raises SIGBUS, which ends the process, and with it
//! everything else that it serves. [`survive_truncated_files`] makes such pages read as zeros instead, and
//! notes that the mapping is lost; whoever reads a mapping asks for that before an answer counts.
#![allow(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Mapped bytes that are watched until this is dropped; drop it before the mapping.
#[derive(Debug)]
pub(crate) struct Watch {
    slot: &'static Slot,
}

impl Watch {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let range = bytes.as_ptr_range();
        let slot = FIRST.claim();
        slot.lost.store(false, Ordering::Relaxed);
        slot.end.store(range.end.addr(), Ordering::Relaxed);
        slot.start.store(range.start.addr(), Ordering::Release);
        Self { slot }
    }

    /// Whether a part of the bytes could not be read and has been zeros since.
    pub(crate) fn lost(&self) -> bool {
        self.slot.lost.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.slot.start.store(FREE, Ordering::Release);
    }
}

/// Values of [`Slot::start`] that are no address.
const FREE: usize = 0;
const CLAIMED: usize = 1;

/// Where mapped bytes lie. All of it is atomic, as a signal handler may neither lock nor allocate.
#[derive(Debug)]
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

impl Slot {
    const fn free() -> Self {
        Self { start: AtomicUsize::new(FREE), end: AtomicUsize::new(0), lost: AtomicBool::new(false) }
    }
}

/// Slots that are never given back, so that the handler can walk through them at any time.
struct Block {
    slots: [Slot; 64],
    next: OnceLock<Box<Block>>,
}

static FIRST: Block = Block::new();

impl Block {
    const fn new() -> Self {
        Self { slots: [const { Slot::free() }; 64], next: OnceLock::new() }
    }

    fn claim(&'static self) -> &'static Slot {
        let mut block = self;
        loop {
            let claim = |slot: &&Slot| {
                slot.start.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok()
            };
            match block.slots.iter().find(claim) {
                Some(slot) => return slot,
                None => block = block.next.get_or_init(|| Box::new(Self::new())),
            }
        }
    }
}

#[cfg(unix)]
pub use unix::survive_truncated_files;

/// Does nothing here: this system does not let mapped files be cut.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn survive_truncated_files() -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
mod unix {
    use std::ffi::{c_int, c_void};
    use std::sync::OnceLock;
    use std::{io, mem, ptr};

    use super::{CLAIMED, FIRST, Ordering};

    struct Installed {
        /// What handled the signal before.
        previous: libc::sigaction,
        page: usize,
    }

    static INSTALLED: OnceLock<Installed> = OnceLock::new();

    /// From now on a collection whose files somebody cuts short, or whose disk fails, gives errors and does
    /// not end the process. It is the process that this changes (its handler of SIGBUS; what is not about
    /// a collection goes to the handler that was there), so it is for programs to ask for.
    ///
    /// # Errors
    /// The system's, when it does not take the handler.
    pub fn survive_truncated_files() -> io::Result<()> {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        // SAFETY: all zeros is a value of this plain struct.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut previous: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: both point to structs; a null pointer means that nothing is to be set.
        if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut previous) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // Before the handler is, which reads it; a second call finds it set and changes nothing.
        if INSTALLED.set(Installed { previous, page }).is_err() {
            return Ok(());
        }
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_bus_error;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the handler has the signature that SA_SIGINFO asks for, and only does what a handler may.
        match unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
        // SAFETY: the system hands a valid struct to a handler installed with SA_SIGINFO.
        let address = unsafe { (*info).si_addr() }.addr();
        let Some(installed) = INSTALLED.get() else { return };
        if !replace_pages(address, installed.page) {
            // Nothing of ours: the instruction is tried again and ends in the handler that was there.
            // SAFETY: sigaction may be called in handlers; the struct came from it.
            unsafe { libc::sigaction(signal, &raw const installed.previous, ptr::null_mut()) };
        }
    }

    /// Puts zeros where watched bytes cannot be read, from this page to their end.
    fn replace_pages(address: usize, page: usize) -> bool {
        let (mut next, mut replaced) = (Some(&FIRST), false);
        while let Some(block) = next {
            for slot in &block.slots {
                let (start, end) = (slot.start.load(Ordering::Acquire), slot.end.load(Ordering::Relaxed));
                if start > CLAIMED && (start..end).contains(&address) {
                    slot.lost.store(true, Ordering::Release);
                    replaced = replaced || zeros(address & !(page - 1), end.next_multiple_of(page));
                }
            }
            next = block.next.get().map(AsRef::as_ref);
        }
        replaced
    }

    fn zeros(start: usize, end: usize) -> bool {
        let (protection, flags) =
            (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
        let place = ptr::with_exposed_provenance_mut(start);
        // SAFETY: the pages belong to a mapping that is only read, and that lives while it is watched; a
        // system call that touches no memory of the program may be made in a handler.
        unsafe { libc::mmap(place, end - start, protection, flags, -1, 0) != libc::MAP_FAILED }
    }
}
