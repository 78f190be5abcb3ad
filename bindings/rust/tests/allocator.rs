//! The program's memory is hakmem's: at every size and alignment, across threads, and in what the statistics say.

use std::alloc::{alloc, alloc_zeroed, dealloc, realloc, Layout};
use std::collections::HashMap;
use std::os::raw::c_void;
use std::sync::Mutex;

#[global_allocator]
static A: hakmem::Hakmem = hakmem::Hakmem;

extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(block: *mut c_void);
}

const MIB: usize = 1 << 20;

/// Tests run beside each other; those that read what the whole process has take turns.
static TURN: Mutex<()> = Mutex::new(());

/// How many bytes more are in runs of their own while the work's result lives.
fn large_during<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = hakmem::stat("bytes.large").unwrap();
    let result = work();
    (hakmem::stat("bytes.large").unwrap().saturating_sub(before), result)
}

#[test]
fn memory_is_counted() {
    let _turn = TURN.lock();
    let (large, bytes) = large_during(|| vec![1u8; 300 * MIB]);
    assert!(
        large >= 250 * MIB as u64,
        "300 MiB were allocated, of which the statistics have {}",
        large
    );
    assert!(unsafe { hakmem::usable_size(bytes.as_ptr()) } >= bytes.len());
}

/// C's malloc as well, with the system's library or the feature `override`; else it stays libc's.
#[test]
fn malloc_of_c() {
    let _turn = TURN.lock();
    let expected = std::env::var("EXPECT_MALLOC").map_or(cfg!(feature = "override"), |value| value == "1");
    let (large, block) = large_during(|| unsafe { malloc(1000 * MIB) });
    assert!(!block.is_null());
    assert_eq!(large >= 900 * MIB as u64, expected, "the statistics grew by {}", large);
    unsafe { free(block) };
}

#[test]
fn every_size_and_alignment() {
    for align in (0..16).map(|shift| 1usize << shift) {
        for size in [1, 8, 24, 100, 1000, 5000, 40_000, 100_000] {
            let layout = Layout::from_size_align(size, align).unwrap();
            unsafe { block_works(layout) };
        }
    }
}

unsafe fn block_works(layout: Layout) {
    let zeroed = alloc_zeroed(layout);
    assert!(
        (0..layout.size()).all(|i| *zeroed.add(i) == 0),
        "{:?} is not all zero",
        layout
    );
    zeroed.write_bytes(0xFF, layout.size());
    dealloc(zeroed, layout);

    let block = alloc(layout);
    assert_eq!(block as usize % layout.align(), 0, "{:?}", layout);
    block.write_bytes(7, layout.size());
    let larger = realloc(block, layout, layout.size() * 3);
    assert_eq!(larger as usize % layout.align(), 0, "{:?}, after realloc", layout);
    assert!(
        (0..layout.size()).all(|i| *larger.add(i) == 7),
        "{:?} has lost its contents",
        layout
    );
    dealloc(
        larger,
        Layout::from_size_align_unchecked(layout.size() * 3, layout.align()),
    );
}

#[test]
fn threads_pass_blocks_on() {
    let (sender, receiver) = std::sync::mpsc::channel::<Vec<String>>();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for i in 0..500 {
                    sender
                        .send((0..20).map(|j| format!("{} {} {}", thread, i, j)).collect())
                        .unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let mut lengths = HashMap::new();
    for text in receiver.into_iter().flatten() {
        *lengths.entry(text.len()).or_insert(0) += 1;
    }
    assert_eq!(lengths.values().sum::<i32>(), 4 * 500 * 20);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn what_can_be_asked() {
    assert_eq!(hakmem::version(), env!("CARGO_PKG_VERSION"));
    let stats = hakmem::stats();
    assert!(stats.len() > 20, "{:?}", stats);
    assert!(
        stats.iter().all(|stat| stat.unit == "bytes" || stat.unit == "count"),
        "{:?}",
        stats
    );
    assert_eq!(hakmem::stat("no such statistic"), None);
}

#[test]
fn free_memory_goes_back() {
    let _turn = TURN.lock();
    let before = hakmem::stat("purged").unwrap();
    drop((0..100_000).map(|i| Box::new([i; 100])).collect::<Vec<_>>());
    hakmem::trim(0);
    let back = hakmem::stat("purged").unwrap() - before; // some of it, maybe, before it was asked for
    assert!(back > 20_000_000, "40 MB were freed, and {} bytes went back", back);
}
