// Work for Rust, whose allocator is malloc: collections, text, threads that pass values on.
// SPDX-License-Identifier: MIT
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::mpsc;
use std::thread;

fn table(seed: u64) -> usize {
    let mut state = seed;
    let mut words: HashMap<String, Vec<u64>> = HashMap::new();
    for i in 0..100_000u64 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        words.entry(format!("word {}", (state >> 33) % 5000)).or_default().push(i);
    }
    let ordered: BTreeMap<_, _> = words.iter().map(|(word, places)| (word.to_uppercase(), places.len())).collect();
    ordered.iter().map(|(word, count)| word.len() * count).sum()
}

fn main() {
    let (sender, receiver) = mpsc::channel::<Box<[u8]>>();
    let makers: Vec<_> = (0..4u64)
        .map(|n| {
            let sender = sender.clone();
            thread::spawn(move || {
                for i in 0..50_000usize {
                    sender.send(vec![(i % 251) as u8; i * 7919 % 5000 + 1].into_boxed_slice()).unwrap();
                }
                table(n)
            })
        })
        .collect();
    drop(sender);
    let mut kept = VecDeque::new();
    let mut sum = 0usize;
    for block in receiver {
        sum += block.len() + block[block.len() - 1] as usize;
        kept.push_back(block);
        if kept.len() > 1000 {
            kept.pop_front();
        }
    }
    let tables: Vec<usize> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
    #[repr(align(4096))]
    struct Wide([u8; 4096]);
    let wide: Vec<Box<Wide>> = (0..100).map(|i| Box::new(Wide([i; 4096]))).collect();
    println!("{} {:?} {}", sum, tables, wide.iter().map(|one| one.0[7] as usize).sum::<usize>());
}
