//! The services of the interop cases as Diwan offers and calls them; `interop/java` is their specification, and the
//! README of `interop` says what is set against what.
//!
//! [`Kitchen`] has every kind of value, [`PbKitchen`] speaks protocol buffers, [`Greeting`] is the request of bare Bolt.
//! [`cases`] calls any server of them.

pub mod cases;
mod dates;
mod everything;
mod greeting;
mod kitchen;
mod menu;
mod node;
mod numbers;
mod protobuf;

pub mod samples;
mod server;
mod service;

pub use everything::{Everything, Times};
pub use greeting::{Greeter, Greeting, GreetingCalls};
pub use kitchen::{Kitchen, KitchenClient, KitchenServer};
pub use menu::{Dish, Drawer, Item, KitchenException, Knife, LinkedList, Pan, Spice, Tag, Tool};
pub use node::{Node, graph_text, reach, ring, swap_peers};
pub use protobuf::{Cook, Heat, NotCooked, PbKitchen, PbKitchenClient, PbKitchenServer, PbService};
pub use server::{server, until_terminated};
pub use service::KitchenService;
