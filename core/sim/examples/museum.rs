//! Looks for the first seeds that catch each bug of the museum: `museum [SEEDS]`.

use diwan_raft::museum::{Bug, Bugs};

fn main() {
    let seeds = std::env::args()
        .nth(1)
        .and_then(|argument| argument.parse::<u64>().ok())
        .unwrap_or(50);
    for bug in Bug::ALL {
        let mut caught = Vec::new();
        for seed in 0..seeds {
            let options = diwan_sim::Options {
                bugs: Bugs::of(bug),
                minutes: 1,
                ..diwan_sim::Options::new(seed)
            };
            if let Some(violation) = diwan_sim::run(&options).violation {
                caught.push(seed);
                if caught.len() == 1 {
                    println!(
                        "{bug:?}: seed {seed}: {}",
                        violation.to_string().chars().take(300).collect::<String>()
                    );
                }
            }
        }
        println!("{bug:?}: {} of {seeds}: {caught:?}", caught.len());
    }
}
