use std::sync::{Arc, Mutex, PoisonError};

use diwan_bolt::HeaderMap;
use diwan_sofarpc::names::RESPONSE_BAGGAGE;

/// What the server of a call gave back besides its answer. Clones share it: one goes into the
/// [`CallOptions`](super::CallOptions), another is read when the call has ended.
#[derive(Clone, Debug, Default)]
pub struct ResponseBaggage(Arc<Mutex<Vec<(String, String)>>>);

impl ResponseBaggage {
    /// The item of this key that came with the last answer.
    pub fn get(&self, key: &str) -> Option<String> {
        let items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        items
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.clone())
    }

    /// Takes the items of an answer's header.
    pub(super) fn fill(&self, header: &[u8]) {
        let item = |(key, value): (&str, &str)| {
            let key = key.strip_prefix(RESPONSE_BAGGAGE)?.strip_prefix('.')?;
            Some((key.to_owned(), value.to_owned()))
        };
        let items = HeaderMap::new(header).iter().map_while(Result::ok);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = items.filter_map(item).collect();
    }
}
