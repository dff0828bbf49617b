#![no_main]

use kubetrust_store::embedded::{Embedded, Options, check, check_backup};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    // The name of the store's file, whatever it is: each file that a new store makes gets the bytes.
    drop(Embedded::open(folder.path(), Options::default()));
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::write(&path, data).expect("the file");
            let _ = check_backup(&path, |_| {});
        }
    }
    drop(Embedded::open(folder.path(), Options::default()));
    let _ = check(folder.path(), |_| {});
});
