//! The memory allocator hakmem for Rust programs.
//!
//! ```
//! #[global_allocator]
//! static A: hakmem::Hakmem = hakmem::Hakmem;
//!
//! let numbers: Vec<u64> = (0..1_000_000).collect();
//! let large = hakmem::stats().into_iter().find(|stat| stat.name == "bytes.large").unwrap();
//! assert!(large.value >= 8 * numbers.len() as u64);
//! ```
//!
//! The crate links the system's `libhakmem` where pkg-config finds it (Debian: libhakmem-dev), and compiles the allocator in
//! where it does not, or with the feature `bundled`; that takes a C compiler. Options are read from the environment, as
//! always with hakmem: `HAKMEM_STATS=1` prints a table at exit, `HAKMEM_CHECK=1` checks every block.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_void};

mod sys {
    use super::*;

    #[repr(C)]
    #[derive(Clone)]
    pub struct Stat {
        pub name: *const c_char,
        pub unit: *const c_char,
        pub value: u64,
    }

    extern "C" {
        pub fn hak_version() -> *const c_char;
        pub fn hak_malloc(size: usize) -> *mut c_void;
        pub fn hak_calloc(count: usize, size: usize) -> *mut c_void;
        pub fn hak_realloc(block: *mut c_void, size: usize) -> *mut c_void;
        pub fn hak_aligned_alloc(alignment: usize, size: usize) -> *mut c_void;
        pub fn hak_free_sized(block: *mut c_void, size: usize);
        pub fn hak_usable_size(block: *const c_void) -> usize;
        pub fn hak_collect();
        pub fn hak_trim(pad: usize) -> c_int;
        pub fn hak_stats(out: *mut Stat, capacity: usize) -> usize;
        pub fn hak_stats_print(fd: c_int);
    }
}

/// What every block is aligned to, in bytes.
const ALIGNMENT: usize = 16;

/// The allocator, for `#[global_allocator]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hakmem;

// Layouts of more than isize::MAX bytes do not exist, and those of none are not asked for.
unsafe impl GlobalAlloc for Hakmem {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGNMENT {
            sys::hak_malloc(layout.size()).cast()
        } else {
            sys::hak_aligned_alloc(layout.align(), layout.size()).cast()
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGNMENT {
            return sys::hak_calloc(1, layout.size()).cast();
        }
        let block = self.alloc(layout);
        if !block.is_null() {
            block.write_bytes(0, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        sys::hak_free_sized(block.cast(), layout.size());
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= ALIGNMENT {
            return sys::hak_realloc(block.cast(), size).cast();
        }
        let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !moved.is_null() {
            moved.copy_from_nonoverlapping(block, layout.size().min(size));
            self.dealloc(block, layout);
        }
        moved
    }
}

/// One number of the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Such as `"bytes.live"`; hakmem(3) has the list.
    pub name: &'static str,
    /// `"bytes"` or `"count"`.
    pub unit: &'static str,
    pub value: u64,
}

/// # Safety
/// `text` is a static string of the library's.
unsafe fn text_of(text: *const c_char) -> &'static str {
    CStr::from_ptr(text).to_str().unwrap_or("")
}

/// All statistics of the process. Running threads are not stopped for it.
pub fn stats() -> Vec<Stat> {
    let empty = sys::Stat {
        name: std::ptr::null(),
        unit: std::ptr::null(),
        value: 0,
    };
    unsafe {
        let mut stats = vec![empty; sys::hak_stats(std::ptr::null_mut(), 0)];
        sys::hak_stats(stats.as_mut_ptr(), stats.len());
        stats
            .iter()
            .map(|stat| Stat {
                name: text_of(stat.name),
                unit: text_of(stat.unit),
                value: stat.value,
            })
            .collect()
    }
}

/// One of the statistics, or `None` where there is none of that name.
pub fn stat(name: &str) -> Option<u64> {
    stats()
        .into_iter()
        .find(|stat| stat.name == name)
        .map(|stat| stat.value)
}

/// Writes the table that `HAKMEM_STATS=1` prints at exit to standard error.
pub fn print_stats() {
    unsafe { sys::hak_stats_print(2) }
}

/// The version of the library in use.
pub fn version() -> &'static str {
    unsafe { text_of(sys::hak_version()) }
}

/// How many bytes of a block may be used, at least what was asked for; 0 for a null pointer.
///
/// # Safety
/// `block` is null, or a live block of this allocator.
pub unsafe fn usable_size(block: *const u8) -> usize {
    sys::hak_usable_size(block.cast())
}

/// Returns the calling thread's cached blocks to their pages.
pub fn collect() {
    unsafe { sys::hak_collect() }
}

/// Gives free memory back to the system, except about `pad` bytes; whether some went back.
pub fn trim(pad: usize) -> bool {
    unsafe { sys::hak_trim(pad) == 1 }
}
