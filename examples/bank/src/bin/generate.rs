//! Writes the transfers of the demonstration: `cargo run -p diwan-bank --bin generate`.

fn main() -> std::io::Result<()> {
    std::fs::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/transfers.csv"),
        diwan_bank::generate(1),
    )
}
