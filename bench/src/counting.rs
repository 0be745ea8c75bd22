//! An allocator that counts.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use mimalloc::MiMalloc;

static ALL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static HERE: Cell<u64> = const { Cell::new(0) };
}

/// Whether anybody wants to know: counting itself takes time.
static ON: AtomicBool = AtomicBool::new(false);

/// `diwan`'s allocator with a count of what it hands out, of this thread and of all.
#[derive(Debug)]
pub struct Counting;

// SAFETY: every call is passed on to `diwan`'s allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.realloc(at, layout, bytes) }
    }
}

fn count() {
    if !ON.load(Relaxed) {
        return;
    }
    ALL.fetch_add(1, Relaxed);
    // Not there any more while a thread ends.
    let _ = HERE.try_with(|here| here.set(here.get() + 1));
}

/// Starts or stops counting.
pub fn count_allocations(on: bool) {
    ON.store(on, Relaxed);
}

/// Allocations of this thread so far.
pub fn allocations_here() -> u64 {
    HERE.get()
}

/// Allocations of all threads so far.
pub fn allocations() -> u64 {
    ALL.load(Relaxed)
}
