//! Looks for the first seeds that catch each bug of the museum: `museum FIRST COUNT [BUG [PART OF THE VIOLATION]]`.

use diwan_raft::museum::{Bug, Bugs};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = || {
        arguments
            .next()
            .and_then(|argument| argument.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let (first, count) = (number(), number());
    let only = arguments.next();
    let wanted = arguments.next().unwrap_or_default();
    for bug in Bug::ALL {
        if only
            .as_ref()
            .is_some_and(|only| *only != format!("{bug:?}"))
        {
            continue;
        }
        let mut caught = 0;
        for seed in first..first + count {
            let options = diwan_sim::Options {
                bugs: Bugs::of(bug),
                minutes: 1,
                ..diwan_sim::Options::new(seed)
            };
            if let Some(violation) = diwan_sim::run(&options)
                .violation
                .filter(|it| it.what.contains(&wanted))
            {
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
        println!("{bug:?}: done");
    }
}
