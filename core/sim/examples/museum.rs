//! Looks for the first seeds that catch each bug of the museum: `museum [SEEDS]`.

use diwan_raft::museum::{Bug, Bugs};

fn main() {
    let seeds = std::env::args()
        .nth(1)
        .and_then(|argument| argument.parse::<u64>().ok())
        .unwrap_or(50);
    for bug in Bug::ALL {
        let mut caught = 0;
        for seed in 0..seeds {
            let options = diwan_sim::Options {
                bugs: Bugs::of(bug),
                minutes: 1,
                ..diwan_sim::Options::new(seed)
            };
            if let Some(violation) = diwan_sim::run(&options).violation {
                caught += 1;
                println!(
                    "{bug:?}: seed {seed}: {}",
                    violation.to_string().chars().take(160).collect::<String>()
                );
                if caught == 3 {
                    break;
                }
            }
        }
    }
}
