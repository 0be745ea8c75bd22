//! Services end with the process that started them.

use std::io::Read;

/// Ends this process when its standard input is closed, which happens when the process that holds the other end dies
/// in whatever way.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let mut byte = [0];
        while !matches!(std::io::stdin().read(&mut byte), Ok(0) | Err(_)) {}
        std::process::exit(0);
    });
}
