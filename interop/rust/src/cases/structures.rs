//! Enums, collections, objects and their identity.

use std::collections::{HashMap, HashSet};

use diwan::hessian::{Date, JavaArray, Shared, Value};

use super::{Outcome, Remote, Run, each, equal, is_true};
use crate::samples::{
    bytes, cycle, decimal, dish, dishes, drawer, everything, knife, lonely, pan, words,
};
use crate::{
    Dish, Drawer, Everything, Kitchen, LinkedList, Node, Spice, Tag, graph_text, ring, swap_peers,
};

fn dish_map(size: i32) -> HashMap<String, Dish> {
    (0..size).map(|n| (format!("key-{n}"), dish(n))).collect()
}

/// What a value with identity holds.
fn text<T: std::fmt::Debug>(value: T) -> String {
    format!("{value:?}")
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) async fn run(run: &mut Run, remote: &Remote) {
    let (salt, chili) = (Some(Spice::Salt), Some(Spice::Chili));
    each!(run, remote, "enum", next_spice, [salt, chili, None]);
    let spices = vec![salt, chili, salt, Some(Spice::Pepper), salt];
    let lists = [
        Some(spices.clone()),
        Some(vec![]),
        Some(vec![salt, None]),
        None,
    ];
    each!(run, remote, "enum-list", next_spices, lists);
    each!(
        run,
        remote,
        "enum-map",
        count_spices,
        [Some(spices.clone()), Some(vec![]), None]
    );
    let lists = [
        Some(vec![]),
        Some(dishes(1)),
        Some(dishes(7)),
        Some(dishes(8)),
        Some(dishes(300)),
        Some(vec![Some(dish(1)), None]),
        None,
    ];
    each!(run, remote, "list", reverse_dishes, lists);
    let lists = [Some(LinkedList(vec![])), Some(LinkedList(dishes(3))), None];
    each!(run, remote, "linked-list", rotate_dishes, lists);
    let sets = [
        Some(HashSet::new()),
        Some(words(&["a", "b\u{fc}", "c"])),
        None,
    ];
    each!(run, remote, "set", upper_case, sets);
    let tag = |text: &str, weight| Tag {
        text: Some(text.into()),
        weight,
    };
    let tags = HashSet::from([tag("x", 1), tag("y", 70_000)]);
    each!(run, remote, "set-of-objects", heavier, [Some(tags.clone())]);
    let maps = [
        Some(HashMap::new()),
        Some(dish_map(5)),
        Some(dish_map(300)),
        None,
    ];
    each!(run, remote, "map", half_price, maps);
    let names = [(1, "one"), (-70_000, "low"), (3, "three")];
    let names: HashMap<i32, String> = names.map(|(number, name)| (number, name.into())).into();
    each!(run, remote, "map-int-keys", invert, [Some(names.clone())]);
    let letters = "0123456789".repeat(4);
    let arrays = [
        Some(JavaArray(vec![])),
        Some(JavaArray(vec![
            Some("a".into()),
            None,
            Some("\u{4e2d}".into()),
        ])),
        Some(JavaArray(letters.chars().map(|c| Some(c.into())).collect())),
        None,
    ];
    each!(run, remote, "string-array", reverse_strings, arrays);
    let arrays =
        [vec![], vec![1, -1, 70_000], vec![0; 300]].map(|numbers| Some(JavaArray(numbers)));
    each!(
        run,
        remote,
        "int-array",
        next_ints,
        arrays.into_iter().chain([None])
    );
    let arrays = [vec![], vec![1, -9, 1 << 40]].map(|numbers| Some(JavaArray(numbers)));
    each!(
        run,
        remote,
        "long-array",
        next_longs,
        arrays.into_iter().chain([None])
    );
    let arrays = [vec![], vec![1.0, 0.1, -1e9]].map(|numbers| Some(JavaArray(numbers)));
    each!(
        run,
        remote,
        "double-array",
        half_doubles,
        arrays.into_iter().chain([None])
    );
    let menu = vec![Some(dish(1)), None, Some(dish(2))];
    each!(
        run,
        remote,
        "object-array",
        reverse_dish_array,
        [Some(JavaArray(vec![])), Some(JavaArray(menu.clone())), None]
    );
    let rows = vec![JavaArray(vec![1, 2, 3]), JavaArray(vec![4, 5, 6])];
    each!(
        run,
        remote,
        "int-matrix",
        transpose,
        [Some(JavaArray(rows.clone())), Some(JavaArray(vec![])), None]
    );
    each!(
        run,
        remote,
        "superclass",
        remake,
        [Some(dish(3)), Some(Dish::default()), None]
    );
    run.case("interface-field", tidy(remote)).await;
    each!(
        run,
        remote,
        "interface-argument",
        exchange,
        [Some(knife(12.9)), Some(pan(30, true)), None]
    );
    let nested = Everything {
        inner: Some(Box::new(everything(3))),
        tool: Some(pan(31, true)),
        ..everything(2)
    };
    each!(
        run,
        remote,
        "everything",
        transform,
        [Some(everything(1)), Some(nested.clone()), None]
    );
    each!(
        run,
        remote,
        "everything-null",
        transform,
        [Some(Everything::default())]
    );

    run.case("cycle", async {
        let start = cycle();
        let got = remote.kitchen.swap_peers(Some(start.clone())).await?;
        let expected = swap_peers(&start);
        equal(&graph_text(expected.as_ref()), &graph_text(got.as_ref()))?;
        let next = |edge: &Shared<Node>| edge.get().and_then(|node| node.next.clone());
        let around = got.as_ref().and_then(next).as_ref().and_then(next);
        let around = around.as_ref().and_then(next);
        let closes = matches!((&got, &around), (Some(got), Some(end)) if got.ptr_eq(end));
        is_true("the ring closes", closes)
    })
    .await;
    run.case("cycle-null", async {
        is_true("null", remote.kitchen.swap_peers(None).await?.is_none())
    })
    .await;
    run.case("cycle-count", async {
        equal(&3, &remote.kitchen.reach(Some(cycle())).await?)?;
        equal(&1, &remote.kitchen.reach(Some(lonely("x"))).await?)?;
        equal(&0, &remote.kitchen.reach(None).await?)
    })
    .await;
    run.case("ring", rings(remote, 40)).await;
    // next of next of next ..., 400 levels deep on the wire.
    run.case("deep", async {
        equal(&400, &remote.kitchen.reach(ring(400)).await?)?;
        rings(remote, 400).await
    })
    .await;
    run.case("shared", async {
        let twins = remote.kitchen.twins(Some(Shared::new(dish(4)))).await?;
        let [Some(first), Some(second)] = &twins[..] else {
            return Err(format!("{twins:?}").into());
        };
        equal(&Some(dish(4)), &first.get().map(|dish| dish.clone()))?;
        is_true("the very same object twice", first.ptr_eq(second))
    })
    .await;
    run.case("shared-arguments", async {
        let one = Some(lonely("one"));
        let same = remote.kitchen.same(one.clone(), one.clone()).await?;
        equal(&true, &same)?;
        let other = remote.kitchen.same(one, Some(lonely("one"))).await?;
        equal(&false, &other)
    })
    .await;
    run.case("object", objects(remote)).await;
    run.case("arguments", async {
        let got = remote.kitchen.join(
            -5,
            1 << 33,
            0.5,
            true,
            Some("x\u{4e2d}".into()),
            Date(77),
            vec!["a".into(), "b".into()],
            decimal("3.10"),
        );
        equal(
            &"-5,8589934592,0.5,true,x\u{4e2d},77,a+b,3.10".to_owned(),
            &got.await?,
        )
    })
    .await;
    run.case("void", async {
        let before = remote.kitchen.counter().await?;
        remote.kitchen.add(7).await?;
        equal(&(before + 7), &remote.kitchen.counter().await?)
    })
    .await;
}

async fn tidy(remote: &Remote) -> Outcome {
    for sent in [Some(drawer(&[])), Some(Drawer::default()), None] {
        let expected = remote.local.tidy(sent.clone()).await;
        let got = remote.kitchen.tidy(sent).await?;
        equal(&text(&expected), &text(&got))?;
        let first = got.as_ref().and_then(|drawer| drawer.tools.first());
        if let (Some(drawer), Some(Some(first))) = (&got, first) {
            let favourite = drawer.favourite.as_ref();
            let is_first = favourite.is_some_and(|favourite| favourite.ptr_eq(first));
            is_true("the favourite is the first tool itself", is_first)?;
        }
    }
    Ok(())
}

async fn rings(remote: &Remote, size: i32) -> Outcome {
    let got = remote.kitchen.ring(size).await?;
    equal(&graph_text(ring(size).as_ref()), &graph_text(got.as_ref()))
}

async fn objects(remote: &Remote) -> Outcome {
    let spice = Value::object("com.diwan.interop.Spice", [("name", Value::str("CHILI"))]);
    let price = Value::object("java.math.BigDecimal", [("value", Value::str("1.10"))]);
    let pan = [("diameterCm", Value::int(1)), ("lid", Value::bool(true))];
    let values = [
        Value::int(1),
        Value::long(2),
        Value::double(1.5),
        Value::bool(true),
        Value::str("text"),
        Value::null(),
        Value::date_ms(7),
        Value::bytes(bytes(3).0),
        spice,
        Value::list(None, [Value::int(1), Value::str("x")]),
        Value::map(None, [(Value::str("k"), Value::int(1))]),
        price,
        Value::list(Some("[int"), [Value::int(1), Value::int(2)]),
        Value::list(Some("[string"), [Value::str("s")]),
        Value::object("com.diwan.interop.Pan", pan),
        Value::list(Some("java.util.LinkedList"), []),
    ];
    for pair in values.chunks(2) {
        let [first, second] = pair else { continue };
        let got = remote.kitchen.pair(first.clone(), second.clone()).await?;
        let shown: Vec<String> = got.iter().map(Value::describe).collect();
        equal(&vec![second.describe(), first.describe()], &shown)?;
    }
    Ok(())
}
