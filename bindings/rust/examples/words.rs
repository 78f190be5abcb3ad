//! Counts the words of standard input, and says what memory that took:
//!
//!     cargo run --example words < /usr/share/dict/words

use std::collections::HashMap;
use std::io::Read;

#[global_allocator]
static A: hakmem::Hakmem = hakmem::Hakmem;

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    let mut common: Vec<_> = counts.iter().collect();
    common.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (word, count) in common.iter().take(3) {
        println!("{:8} {}", count, word);
    }
    println!("hakmem {}:", hakmem::version());
    for stat in hakmem::stats()
        .iter()
        .filter(|stat| stat.name == "bytes.live" || stat.name == "bytes.large")
    {
        println!("{:16} {} {}", stat.name, stat.value, stat.unit);
    }
    Ok(())
}
