//! Worlds that follow from fixed seeds and from fresh ones.

use diwan_sim::{Options, run};

#[test]
fn fixed_seeds() {
    for seed in 0..40 {
        let report = run(&Options::new(seed));
        assert!(report.violation.is_none(), "{report}");
    }
}

#[test]
fn the_same_seed_lives_the_same_life() {
    let options = Options {
        minutes: 1,
        ..Options::new(7)
    };
    assert_eq!(run(&options).digest, run(&options).digest);
}
