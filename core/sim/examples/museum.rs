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
    let hunts = Bug::ALL.map(|bug| (format!("{bug:?}"), Bugs::of(bug), false));
    let page_cache = ("PageCache".to_owned(), Bugs::default(), true);
    for (name, bugs, trusts_page_cache) in hunts.into_iter().chain([page_cache]) {
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let caught = (first..first + count).filter_map(|seed| {
            let report = diwan_sim::run(&diwan_sim::Options {
                bugs,
                trusts_page_cache,
                minutes: 1,
                ..diwan_sim::Options::new(seed)
            });
            let violation = report.violation.filter(|it| it.what.contains(&wanted))?;
            Some(format!("seed {seed}: {violation}"))
        });
        for caught in caught.take(3) {
            println!("{name}: {}", caught.chars().take(160).collect::<String>());
        }
        println!("{name}: done");
    }
}
