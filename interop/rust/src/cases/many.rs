//! Many calls, each with content of its own, each answer compared.

use diwan::hessian::JavaArray;

use super::{Outcome, Remote, Run, Wrong, equal};
use crate::samples::{Random, bytes, dish, drawer, everything, knife};
use crate::{Kitchen, KitchenClient, KitchenService};

pub(super) async fn run(run: &mut Run, remote: &Remote, calls: u32, seed: u64) {
    run.case("rotation", async {
        let mut random = Random::new(seed);
        for number in 0..calls {
            one(&remote.kitchen, &remote.local, &mut random)
                .await
                .map_err(|Wrong(problem)| format!("call {number} of seed {seed}: {problem}"))?;
        }
        Ok(())
    })
    .await;
    let count = calls.div_ceil(10);
    run.case("rotation-everything", everythings(remote, count, seed))
        .await;
    run.case("concurrent", concurrent(remote, seed)).await;
}

async fn one(kitchen: &KitchenClient, local: &KitchenService, random: &mut Random) -> Outcome {
    match random.below(9) {
        0 => {
            let sent = Some(drawer(&[knife(f64::from(random.below(1000)) / 4.0)]));
            let expected = local.tidy(sent.clone()).await;
            let got = kitchen.tidy(sent).await?;
            equal(&format!("{expected:?}"), &format!("{got:?}"))
        }
        1 => text(kitchen, local, random).await,
        2 => {
            let shift = random.below(31);
            let sent = random.number() as i32 >> shift;
            equal(&local.next_int(sent).await, &kitchen.next_int(sent).await?)
        }
        3 => {
            let shift = random.below(63);
            let sent = random.number() as i64 >> shift;
            equal(
                &local.next_long(sent).await,
                &kitchen.next_long(sent).await?,
            )
        }
        4 => {
            let sent =
                (f64::from(random.below(70_000)) - 35_000.0) / f64::from(random.below(9) + 1);
            equal(
                &local.half_double(sent).await,
                &kitchen.half_double(sent).await?,
            )
        }
        5 => {
            let sent = Some(bytes(random.below(3000) as usize));
            equal(&local.flip(sent.clone()).await, &kitchen.flip(sent).await?)
        }
        6 => {
            let sent = (0..random.below(12)).map(|_| Some(dish(random.below(1000) as i32)));
            let sent = Some(sent.collect::<Vec<_>>());
            equal(
                &local.reverse_dishes(sent.clone()).await,
                &kitchen.reverse_dishes(sent).await?,
            )
        }
        7 => object(kitchen, local, random).await,
        _ => {
            let count = random.below(50);
            let sent = JavaArray((0..count).map(|_| random.number() as i32).collect());
            let sent = Some(sent);
            equal(
                &local.next_ints(sent.clone()).await,
                &kitchen.next_ints(sent).await?,
            )
        }
    }
}

async fn text(kitchen: &KitchenClient, local: &KitchenService, random: &mut Random) -> Outcome {
    let sent = Some(random.text(400));
    equal(
        &local.reverse(sent.clone()).await,
        &kitchen.reverse(sent).await?,
    )
}

/// A dish with a name of its own.
async fn object(kitchen: &KitchenClient, local: &KitchenService, random: &mut Random) -> Outcome {
    // Not 0, whose weight a Node server gives a sign.
    let n = 1 + random.below(1000) as i32;
    let mut sent = dish(n);
    sent.item.name = Some(random.text(50));
    let sent = Some(sent);
    equal(
        &local.remake(sent.clone()).await,
        &kitchen.remake(sent).await?,
    )
}

/// One object with a field of every kind; a case of its own because sofa-rpc-node cannot express it.
async fn everythings(remote: &Remote, calls: u32, seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    for _ in 0..calls {
        let sent = Some(everything(random.below(1000) as i32));
        let expected = remote.local.transform(sent.clone()).await;
        equal(&expected, &remote.kitchen.transform(sent).await?)?;
    }
    Ok(())
}

/// Eight callers on one connection.
async fn concurrent(remote: &Remote, seed: u64) -> Outcome {
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let kitchen = remote.kitchen.clone();
            tokio::spawn(async move {
                let local = KitchenService::default();
                let mut random = Random::new(seed.wrapping_mul(31).wrapping_add(caller));
                for _ in 0..50 {
                    text(&kitchen, &local, &mut random).await?;
                    object(&kitchen, &local, &mut random).await?;
                }
                Ok::<(), Wrong>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await.map_err(|error| error.to_string())??;
    }
    Ok(())
}
