//! The answers of the kitchen.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::thread;
use std::time::Duration as StdDuration;

use diwan::hessian::{
    BigDecimal, BigInteger, Bytes, Date, Duration, Instant, JavaArray, LocalDate, LocalDateTime,
    LocalTime, Locale, Shared, Throwable, Value, Year,
};
use diwan::rpc::Context;

use crate::dates::{next_day, next_hour, next_minute, next_second, twice};
use crate::numbers::{negate, plain, square};
use crate::{
    Dish, Drawer, Everything, Item, Kitchen, KitchenException, Knife, LinkedList, Node, Pan, Spice,
    Tag, Times, Tool, reach, ring, swap_peers,
};

const DAY_MS: i64 = 86_400_000;

/// The implementation, which the client uses, too, to know what to expect.
#[derive(Debug, Default)]
pub struct KitchenService {
    counter: AtomicI64,
}

fn backwards(text: &str) -> String {
    text.chars().rev().collect()
}

fn after(letter: char) -> char {
    char::from_u32(letter as u32 + 1).unwrap_or('\0')
}

fn reversed<T>(mut values: Vec<T>) -> Vec<T> {
    values.reverse();
    values
}

fn array_map<T>(values: JavaArray<T>, change: impl FnMut(T) -> T) -> JavaArray<T> {
    JavaArray(values.0.into_iter().map(change).collect())
}

fn flipped(data: &Bytes) -> Bytes {
    Bytes(data.0.iter().map(|byte| byte ^ 0x5a).collect())
}

fn language(value: &Locale) -> Locale {
    let language = value.as_str().split('_').next().unwrap_or_default();
    Locale::new(language).unwrap_or_default()
}

fn remade(dish: Dish) -> Dish {
    Dish {
        price_cents: dish.price_cents.wrapping_mul(2),
        vegan: !dish.vegan,
        spice: dish.spice.map(Spice::next),
        weight_kg: dish.weight_kg.as_ref().map(negate),
        notes: dish.notes.map(reversed),
        item: Item {
            id: dish.item.id.wrapping_add(1),
            name: dish.item.name.as_deref().map(backwards),
        },
    }
}

fn exchanged(tool: Tool) -> Tool {
    match tool {
        Tool::Knife(knife) => Tool::Pan(Pan {
            diameter_cm: knife.length_cm as i32,
            lid: false,
        }),
        Tool::Pan(pan) => Tool::Knife(Knife {
            length_cm: f64::from(pan.diameter_cm),
        }),
    }
}

fn bigger(tool: &Tool) -> Tool {
    match tool {
        Tool::Knife(knife) => Tool::Knife(Knife {
            length_cm: knife.length_cm + 0.5,
        }),
        Tool::Pan(pan) => Tool::Pan(Pan {
            diameter_cm: pan.diameter_cm.wrapping_add(2),
            lid: !pan.lid,
        }),
    }
}

fn upper_case(words: HashSet<Option<String>>) -> HashSet<Option<String>> {
    let upper = |word: Option<String>| word.map(|word| word.to_uppercase());
    words.into_iter().map(upper).collect()
}

fn transformed(value: Everything) -> Everything {
    Everything {
        flag: !value.flag,
        tiny: value.tiny.wrapping_add(1),
        small: value.small.wrapping_add(1),
        number: value.number.wrapping_add(1),
        big: value.big.wrapping_add(1),
        ratio: value.ratio / 2.0,
        exact: value.exact / 2.0,
        letter: after(value.letter),
        boxed_flag: value.boxed_flag.map(|flag| !flag),
        boxed_tiny: value.boxed_tiny.map(|tiny| tiny.wrapping_add(1)),
        boxed_small: value.boxed_small.map(|small| small.wrapping_add(1)),
        boxed_number: value.boxed_number.map(|number| number.wrapping_add(1)),
        boxed_big: value.boxed_big.map(|big| big.wrapping_add(1)),
        boxed_ratio: value.boxed_ratio.map(|ratio| ratio / 2.0),
        boxed_exact: value.boxed_exact.map(|exact| exact / 2.0),
        boxed_letter: value.boxed_letter.map(after),
        text: value.text.as_deref().map(backwards),
        raw: value.raw.as_ref().map(flipped),
        when: value.when.map(|when| Date(when.0 + DAY_MS)),
        price: value.price.as_ref().map(negate),
        huge: value.huge.as_ref().map(square),
        spice: value.spice.map(Spice::next),
        locale: value.locale.as_ref().map(language),
        dishes: value.dishes.map(reversed),
        tags: value.tags.map(upper_case),
        counts: value.counts.map(|counts| {
            let next = |(key, count): (String, Option<i32>)| (key, count.map(|count| count + 1));
            counts.into_iter().map(next).collect()
        }),
        names: value.names.map(|names| JavaArray(reversed(names.0))),
        numbers: value
            .numbers
            .map(|numbers| array_map(numbers, |number| number.wrapping_add(1))),
        menu: value.menu.map(|menu| JavaArray(reversed(menu.0))),
        tool: value.tool.map(exchanged),
        inner: value.inner.map(|inner| Box::new(transformed(*inner))),
    }
}

impl Kitchen for KitchenService {
    async fn not(&self, value: bool) -> bool {
        !value
    }

    async fn next_byte(&self, value: i8) -> i32 {
        i32::from(value.wrapping_add(1))
    }

    async fn next_short(&self, value: i16) -> i32 {
        i32::from(value.wrapping_add(1))
    }

    async fn next_int(&self, value: i32) -> i32 {
        value.wrapping_add(1)
    }

    async fn next_long(&self, value: i64) -> i64 {
        value.wrapping_add(1)
    }

    async fn half_float(&self, value: f32) -> f64 {
        f64::from(value / 2.0)
    }

    async fn half_double(&self, value: f64) -> f64 {
        value / 2.0
    }

    async fn next_char(&self, value: char) -> String {
        after(value).into()
    }

    async fn not_boxed(&self, value: Option<bool>) -> Option<bool> {
        value.map(|value| !value)
    }

    async fn next_boxed_byte(&self, value: Option<i8>) -> Option<i32> {
        value.map(|value| i32::from(value.wrapping_add(1)))
    }

    async fn next_boxed_short(&self, value: Option<i16>) -> Option<i32> {
        value.map(|value| i32::from(value.wrapping_add(1)))
    }

    async fn next_boxed_int(&self, value: Option<i32>) -> Option<i32> {
        value.map(|value| value.wrapping_add(1))
    }

    async fn next_boxed_long(&self, value: Option<i64>) -> Option<i64> {
        value.map(|value| value.wrapping_add(1))
    }

    async fn half_boxed_float(&self, value: Option<f32>) -> Option<f64> {
        value.map(|value| f64::from(value / 2.0))
    }

    async fn half_boxed_double(&self, value: Option<f64>) -> Option<f64> {
        value.map(|value| value / 2.0)
    }

    async fn next_boxed_char(&self, value: Option<char>) -> Option<String> {
        value.map(|value| after(value).into())
    }

    fn echo(&self, text: Option<String>) -> Option<String> {
        text
    }

    async fn reverse(&self, text: Option<String>) -> Option<String> {
        text.as_deref().map(backwards)
    }

    async fn utf16_length(&self, text: Option<String>) -> i32 {
        text.map_or(-1, |text| text.encode_utf16().count() as i32)
    }

    async fn flip(&self, data: Option<Bytes>) -> Option<Bytes> {
        data.as_ref().map(flipped)
    }

    async fn sum(&self, data: Option<Bytes>) -> i64 {
        data.map_or(-1, |data| data.0.iter().map(|byte| i64::from(*byte)).sum())
    }

    async fn next_day(&self, value: Option<Date>) -> Option<Date> {
        value.map(|value| Date(value.0 + DAY_MS))
    }

    async fn negate(&self, value: Option<BigDecimal>) -> Option<BigDecimal> {
        value.as_ref().map(negate)
    }

    async fn square(&self, value: Option<BigInteger>) -> Option<BigInteger> {
        value.as_ref().map(square)
    }

    async fn language(&self, value: Option<Locale>) -> Option<Locale> {
        value.as_ref().map(language)
    }

    async fn next_local_date(&self, value: Option<LocalDate>) -> Option<LocalDate> {
        value.as_ref().map(next_day)
    }

    async fn next_local_date_time(&self, value: Option<LocalDateTime>) -> Option<LocalDateTime> {
        value.as_ref().map(next_hour)
    }

    async fn next_local_time(&self, value: Option<LocalTime>) -> Option<LocalTime> {
        value.as_ref().map(next_minute)
    }

    async fn next_instant(&self, value: Option<Instant>) -> Option<Instant> {
        value.as_ref().map(next_second)
    }

    async fn twice(&self, value: Option<Duration>) -> Option<Duration> {
        value.as_ref().map(twice)
    }

    async fn shift(&self, value: Option<Times>) -> Option<Times> {
        let times = value?;
        Some(Times {
            local_date: times.local_date.as_ref().map(next_day),
            local_time: times.local_time.as_ref().map(next_minute),
            local_date_time: times.local_date_time.as_ref().map(next_hour),
            instant: times.instant.as_ref().map(next_second),
            year: times.year.map(|year| Year {
                year: year.year + 1,
            }),
            ..times
        })
    }

    async fn next_spice(&self, value: Option<Spice>) -> Option<Spice> {
        value.map(Spice::next)
    }

    async fn next_spices(&self, values: Option<Vec<Option<Spice>>>) -> Option<Vec<Option<Spice>>> {
        let next = |value: Option<Spice>| value.map(Spice::next);
        values.map(|values| values.into_iter().rev().map(next).collect())
    }

    async fn count_spices(
        &self,
        values: Option<Vec<Option<Spice>>>,
    ) -> Option<HashMap<Option<Spice>, i32>> {
        let mut counts = HashMap::new();
        for value in values? {
            *counts.entry(value).or_default() += 1;
        }
        Some(counts)
    }

    async fn reverse_dishes(&self, dishes: Option<Vec<Option<Dish>>>) -> Option<Vec<Option<Dish>>> {
        dishes.map(reversed)
    }

    async fn rotate_dishes(
        &self,
        dishes: Option<LinkedList<Option<Dish>>>,
    ) -> Option<LinkedList<Option<Dish>>> {
        let LinkedList(mut dishes) = dishes?;
        if !dishes.is_empty() {
            dishes.rotate_left(1);
        }
        Some(LinkedList(dishes))
    }

    async fn upper_case(
        &self,
        words: Option<HashSet<Option<String>>>,
    ) -> Option<HashSet<Option<String>>> {
        words.map(upper_case)
    }

    async fn heavier(&self, tags: Option<HashSet<Tag>>) -> Option<HashSet<Tag>> {
        let double = |tag: Tag| Tag {
            weight: tag.weight.wrapping_mul(2),
            ..tag
        };
        tags.map(|tags| tags.into_iter().map(double).collect())
    }

    async fn half_price(
        &self,
        dishes: Option<HashMap<String, Dish>>,
    ) -> Option<HashMap<String, Dish>> {
        let mut dishes = dishes?;
        dishes.values_mut().for_each(|dish| dish.price_cents /= 2);
        Some(dishes)
    }

    async fn invert(&self, names: Option<HashMap<i32, String>>) -> Option<HashMap<String, i32>> {
        let exchange = |(number, name)| (name, number);
        names.map(|names| names.into_iter().map(exchange).collect())
    }

    async fn reverse_strings(
        &self,
        values: Option<JavaArray<Option<String>>>,
    ) -> Option<JavaArray<Option<String>>> {
        values.map(|values| JavaArray(reversed(values.0)))
    }

    async fn next_ints(&self, values: Option<JavaArray<i32>>) -> Option<JavaArray<i32>> {
        values.map(|values| array_map(values, |value| value.wrapping_add(1)))
    }

    async fn next_longs(&self, values: Option<JavaArray<i64>>) -> Option<JavaArray<i64>> {
        values.map(|values| array_map(values, |value| value.wrapping_add(1)))
    }

    async fn half_doubles(&self, values: Option<JavaArray<f64>>) -> Option<JavaArray<f64>> {
        values.map(|values| array_map(values, |value| value / 2.0))
    }

    async fn reverse_dish_array(
        &self,
        values: Option<JavaArray<Option<Dish>>>,
    ) -> Option<JavaArray<Option<Dish>>> {
        values.map(|values| JavaArray(reversed(values.0)))
    }

    async fn transpose(
        &self,
        values: Option<JavaArray<JavaArray<i32>>>,
    ) -> Option<JavaArray<JavaArray<i32>>> {
        let rows = values?.0;
        let width = rows.first().map_or(0, |row| row.0.len());
        let column = |index: usize| {
            let cells = rows.iter().filter_map(|row| row.0.get(index).copied());
            JavaArray(cells.collect())
        };
        Some(JavaArray((0..width).map(column).collect()))
    }

    async fn remake(&self, dish: Option<Dish>) -> Option<Dish> {
        dish.map(remade)
    }

    async fn swap_peers(&self, start: Option<Shared<Node>>) -> Option<Shared<Node>> {
        swap_peers(&start?)
    }

    async fn reach(&self, start: Option<Shared<Node>>) -> i32 {
        start.map_or(0, |start| reach(&start) as i32)
    }

    async fn ring(&self, size: i32) -> Option<Shared<Node>> {
        ring(size)
    }

    async fn twins(&self, dish: Option<Shared<Dish>>) -> Vec<Option<Shared<Dish>>> {
        vec![dish.clone(), dish]
    }

    async fn same(&self, first: Option<Shared<Node>>, second: Option<Shared<Node>>) -> bool {
        match (first, second) {
            (Some(first), Some(second)) => first.ptr_eq(&second),
            (first, second) => first.is_none() && second.is_none(),
        }
    }

    async fn tidy(&self, drawer: Option<Drawer>) -> Option<Drawer> {
        let made = |tool: &Option<Shared<Tool>>| {
            let tool = tool.as_ref()?.get()?;
            Some(Shared::new(bigger(&tool)))
        };
        let tools: Vec<_> = drawer?.tools.iter().rev().map(made).collect();
        Some(Drawer {
            favourite: tools.first().cloned().flatten(),
            tools,
        })
    }

    async fn exchange(&self, tool: Option<Tool>) -> Option<Tool> {
        tool.map(exchanged)
    }

    async fn transform(&self, value: Option<Everything>) -> Option<Everything> {
        value.map(transformed)
    }

    async fn pair(&self, first: Value<'static>, second: Value<'static>) -> Vec<Value<'static>> {
        vec![second, first]
    }

    async fn join(
        &self,
        whole: i32,
        big: i64,
        real: f64,
        flag: bool,
        text: Option<String>,
        when: Date,
        names: Vec<String>,
        price: BigDecimal,
    ) -> String {
        let text = text.as_deref().unwrap_or("null");
        let (names, price) = (names.join("+"), plain(&price));
        format!(
            "{whole},{big},{real:?},{flag},{text},{},{names},{price}",
            when.0
        )
    }

    async fn refuse(&self, reason: Option<String>, code: i32) -> Result<String, KitchenException> {
        Err(KitchenException {
            message: reason,
            cause: None,
            code,
        })
    }

    async fn refuse_because(
        &self,
        reason: Option<String>,
        code: i32,
    ) -> Result<String, KitchenException> {
        let why = format!(
            "{}:{}",
            reason.as_deref().unwrap_or("null"),
            code.wrapping_add(1)
        );
        Err(KitchenException {
            message: reason,
            cause: Some(Box::new(Throwable::new(
                "java.lang.IllegalArgumentException",
                why,
            ))),
            code,
        })
    }

    async fn burn(&self, what: Option<String>) -> Result<String, Throwable> {
        Err(Throwable {
            class: "java.lang.IllegalStateException".into(),
            message: what,
            ..Throwable::default()
        })
    }

    fn slow(&self, text: Option<String>, delay_ms: i64) -> Option<String> {
        thread::sleep(StdDuration::from_millis(
            u64::try_from(delay_ms).unwrap_or_default(),
        ));
        text
    }

    async fn tick(&self, by: i32) {
        self.counter.fetch_add(i64::from(by), Relaxed);
    }

    async fn add(&self, by: i32) {
        self.counter.fetch_add(i64::from(by), Relaxed);
    }

    async fn counter(&self) -> i64 {
        self.counter.load(Relaxed)
    }

    async fn baggage(&self, key: String) -> Option<String> {
        let context = Context::current()?;
        let value = context.baggage(&key).map(str::to_owned);
        let served = format!("yes:{}", value.as_deref().unwrap_or("null"));
        context.put_response_baggage("served", served);
        value
    }
}
