//! Every entry that bytes of strangers reach, with its seeds and some thousand mutations of them, the same in every run.
//! What libFuzzer runs for longer (`fuzz/README.md`) is the same functions.

use std::fs;
use std::path::Path;

#[path = "../../../../fuzz/src/entries.rs"]
#[allow(dead_code, reason = "some of it is for the fuzz targets alone")]
mod entries;

/// Mutations of an entry, less for those that open a store.
const MUTATIONS: usize = 8000;
const SLOW: &[(&str, usize)] = &[("watch_resume", 600), ("store_recovery", 300), ("body", 3000)];

/// Most bytes that a mutation grows to.
const LENGTH: usize = 4 << 20;

/// What parsers stumble over.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"/",
    b"..",
    b"%2f",
    b"%00",
    b",",
    b"=",
    b"!",
    b"(",
    b")",
    b"\"",
    b"'",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"&a",
    b"*a",
    b"- ",
    b"\n",
    b"\r",
    b"\t",
    b" ",
    b".",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"9e999",
    b"null",
    b"true",
    b"\xff",
    b"\xe2\x80\xae",
    b"\xc3\xa9",
    b"~1",
    b"$patch",
    b"$setElementOrder/containers",
    b"system:masters",
    b"in",
    b"notin",
];

/// A number that is the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (bound.max(1) as u64)).unwrap()
    }

    fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut data = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let place = self.below(data.len() + 1);
            let end = place + self.below(data.len() - place + 1).min(64);
            match self.below(7) {
                0 if place < data.len() => data[place] ^= 1 << self.below(8),
                1 if place < data.len() => data[place] = u8::try_from(self.below(256)).unwrap(),
                2 => drop(data.drain(place..end)),
                3 => {
                    let piece = data[place..end].to_vec();
                    data.splice(place..place, piece);
                }
                4 => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    data.splice(place..place, token.iter().copied());
                }
                5 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    data.splice(place.., other[from..].iter().copied());
                }
                _ => data.truncate(place),
            }
            data.truncate(LENGTH);
        }
        data
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    if name == "store_recovery" {
        seeds.push(entries::store_file());
    }
    assert!(!seeds.is_empty(), "{name} has no seeds");
    seeds
}

#[test]
fn no_bytes_of_a_stranger_break_an_entry() {
    std::thread::scope(|scope| {
        for (name, entry) in entries::ENTRIES {
            scope.spawn(move || {
                let seeds = seeds(name);
                for seed in &seeds {
                    entry(seed);
                }
                let count = SLOW
                    .iter()
                    .find(|(slow, _)| slow == name)
                    .map_or(MUTATIONS, |(_, count)| *count);
                let mut random = Random(0x9e37_79b9_7f4a_7c15);
                for number in 0..count {
                    let data = random.mutate(&seeds);
                    let run = std::panic::catch_unwind(|| entry(&data));
                    assert!(
                        run.is_ok(),
                        "{name}, mutation {number}: {}",
                        data[..data.len().min(4096)].escape_ascii()
                    );
                }
            });
        }
    });
}

/// Each target that libFuzzer is given is one of these, and has seeds.
#[test]
fn every_fuzz_target_is_an_entry() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let mut targets: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    targets.sort();
    let mut names: Vec<&str> = entries::ENTRIES.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(targets, names);
}
