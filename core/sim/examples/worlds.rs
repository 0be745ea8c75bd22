//! Lives through many worlds: `worlds FIRST COUNT [MINUTES]`.

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<u64>().ok());
    let (first, count) = (
        arguments.next().unwrap_or(0),
        arguments.next().unwrap_or(10),
    );
    let minutes = arguments.next().unwrap_or(2);
    let mut total = diwan_sim::Counts::default();
    let mut bad = 0;
    for seed in first..first + count {
        let report = diwan_sim::run(&diwan_sim::Options {
            minutes,
            ..diwan_sim::Options::new(seed)
        });
        total.merge(&report.counts);
        if let Some(violation) = &report.violation {
            bad += 1;
            println!(
                "seed {seed}: {}",
                violation.to_string().chars().take(1500).collect::<String>()
            );
        }
    }
    for (name, count) in total.iter() {
        println!("{count:>10} {name}");
    }
    println!("{bad} of {count} bad");
}
