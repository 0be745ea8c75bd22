//! `com.diwan.interop.Kitchen`. What each answer is, stands in `Kitchen.java`.

use std::collections::{HashMap, HashSet};

use diwan::hessian::{
    BigDecimal, BigInteger, Bytes, Date, Duration, Instant, JavaArray, LocalDate, LocalDateTime,
    LocalTime, Locale, Shared, Throwable, Value,
};

use crate::{
    Dish, Drawer, Everything, KitchenException, LinkedList, Node, Spice, Tag, Times, Tool,
};

/// Every kind of value that crosses the wire. Almost every answer is computed from the argument, so that a server
/// which hands the bytes back fails.
#[expect(missing_docs, reason = "Kitchen.java says what each answer is")]
#[diwan::service(interface = "com.diwan.interop.Kitchen", version = "1.0")]
pub trait Kitchen {
    async fn not(&self, value: bool) -> bool;
    async fn next_byte(&self, value: i8) -> i32;
    async fn next_short(&self, value: i16) -> i32;
    async fn next_int(&self, value: i32) -> i32;
    async fn next_long(&self, value: i64) -> i64;
    async fn half_float(&self, value: f32) -> f64;
    async fn half_double(&self, value: f64) -> f64;
    async fn next_char(&self, value: char) -> String;

    async fn not_boxed(&self, value: Option<bool>) -> Option<bool>;
    async fn next_boxed_byte(&self, value: Option<i8>) -> Option<i32>;
    async fn next_boxed_short(&self, value: Option<i16>) -> Option<i32>;
    async fn next_boxed_int(&self, value: Option<i32>) -> Option<i32>;
    async fn next_boxed_long(&self, value: Option<i64>) -> Option<i64>;
    async fn half_boxed_float(&self, value: Option<f32>) -> Option<f64>;
    async fn half_boxed_double(&self, value: Option<f64>) -> Option<f64>;
    async fn next_boxed_char(&self, value: Option<char>) -> Option<String>;

    // Not async, as `slow` is: these two take a thread of the pool, which can be had by none or by all.
    fn echo(&self, text: Option<String>) -> Option<String>;
    async fn reverse(&self, text: Option<String>) -> Option<String>;
    async fn utf16_length(&self, text: Option<String>) -> i32;
    async fn flip(&self, data: Option<Bytes>) -> Option<Bytes>;
    async fn sum(&self, data: Option<Bytes>) -> i64;

    async fn next_day(&self, value: Option<Date>) -> Option<Date>;
    async fn negate(&self, value: Option<BigDecimal>) -> Option<BigDecimal>;
    async fn square(&self, value: Option<BigInteger>) -> Option<BigInteger>;
    async fn language(&self, value: Option<Locale>) -> Option<Locale>;

    async fn next_local_date(&self, value: Option<LocalDate>) -> Option<LocalDate>;
    async fn next_local_date_time(&self, value: Option<LocalDateTime>) -> Option<LocalDateTime>;
    async fn next_local_time(&self, value: Option<LocalTime>) -> Option<LocalTime>;
    async fn next_instant(&self, value: Option<Instant>) -> Option<Instant>;
    async fn twice(&self, value: Option<Duration>) -> Option<Duration>;
    async fn shift(&self, value: Option<Times>) -> Option<Times>;

    async fn next_spice(&self, value: Option<Spice>) -> Option<Spice>;
    async fn next_spices(&self, values: Option<Vec<Option<Spice>>>) -> Option<Vec<Option<Spice>>>;
    async fn count_spices(
        &self,
        values: Option<Vec<Option<Spice>>>,
    ) -> Option<HashMap<Option<Spice>, i32>>;

    async fn reverse_dishes(&self, dishes: Option<Vec<Option<Dish>>>) -> Option<Vec<Option<Dish>>>;
    async fn rotate_dishes(
        &self,
        dishes: Option<LinkedList<Option<Dish>>>,
    ) -> Option<LinkedList<Option<Dish>>>;
    async fn upper_case(
        &self,
        words: Option<HashSet<Option<String>>>,
    ) -> Option<HashSet<Option<String>>>;
    async fn heavier(&self, tags: Option<HashSet<Tag>>) -> Option<HashSet<Tag>>;
    async fn half_price(
        &self,
        dishes: Option<HashMap<String, Dish>>,
    ) -> Option<HashMap<String, Dish>>;
    async fn invert(&self, names: Option<HashMap<i32, String>>) -> Option<HashMap<String, i32>>;
    async fn reverse_strings(
        &self,
        values: Option<JavaArray<Option<String>>>,
    ) -> Option<JavaArray<Option<String>>>;
    async fn next_ints(&self, values: Option<JavaArray<i32>>) -> Option<JavaArray<i32>>;
    async fn next_longs(&self, values: Option<JavaArray<i64>>) -> Option<JavaArray<i64>>;
    async fn half_doubles(&self, values: Option<JavaArray<f64>>) -> Option<JavaArray<f64>>;
    async fn reverse_dish_array(
        &self,
        values: Option<JavaArray<Option<Dish>>>,
    ) -> Option<JavaArray<Option<Dish>>>;
    async fn transpose(
        &self,
        values: Option<JavaArray<JavaArray<i32>>>,
    ) -> Option<JavaArray<JavaArray<i32>>>;

    async fn remake(&self, dish: Option<Dish>) -> Option<Dish>;
    async fn swap_peers(&self, start: Option<Shared<Node>>) -> Option<Shared<Node>>;
    async fn reach(&self, start: Option<Shared<Node>>) -> i32;
    async fn ring(&self, size: i32) -> Option<Shared<Node>>;
    async fn twins(&self, dish: Option<Shared<Dish>>) -> Vec<Option<Shared<Dish>>>;
    async fn same(&self, first: Option<Shared<Node>>, second: Option<Shared<Node>>) -> bool;
    async fn tidy(&self, drawer: Option<Drawer>) -> Option<Drawer>;
    async fn exchange(&self, tool: Option<Tool>) -> Option<Tool>;
    async fn transform(&self, value: Option<Everything>) -> Option<Everything>;
    async fn pair(&self, first: Value<'static>, second: Value<'static>) -> Vec<Value<'static>>;
    #[expect(clippy::too_many_arguments, reason = "as the Java method has them")]
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
    ) -> String;

    async fn refuse(&self, reason: Option<String>, code: i32) -> Result<String, KitchenException>;
    async fn refuse_because(
        &self,
        reason: Option<String>,
        code: i32,
    ) -> Result<String, KitchenException>;
    /// What it throws is declared nowhere.
    async fn burn(&self, what: Option<String>) -> Result<String, Throwable>;
    fn slow(&self, text: Option<String>, delay_ms: i64) -> Option<String>;
    #[rpc(oneway)]
    async fn tick(&self, by: i32);
    async fn add(&self, by: i32);
    async fn counter(&self) -> i64;
    async fn baggage(&self, key: String) -> Option<String>;
}
