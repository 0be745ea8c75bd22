//! Containers written once and referred to afterwards.

use std::any::Any;
use std::sync::Arc;

use super::Encoder;
use crate::value::Written;

impl Encoder<'_> {
    /// Writes what `handle` points to: `write` the first time, a back reference after that.
    ///
    /// The number is known before `write` runs, so a cycle back to it becomes a reference. The handle is kept until
    /// the writer is dropped: another value cannot take its address meanwhile.
    pub(crate) fn shared<T: Send + Sync + 'static>(
        &mut self,
        handle: &Arc<T>,
        write: impl FnOnce(&mut Self),
    ) {
        let address = Arc::as_ptr(handle) as usize;
        if let Some(&(number, _)) = self.rare().shared.get(&address) {
            return self.reference(number);
        }
        let number = self.next_reference();
        let kept: Arc<dyn Any + Send + Sync> = handle.clone();
        self.rare().shared.insert(address, (number, kept));
        write(self);
        // Strings, numbers and null take no number: nothing can refer to them.
        if self.next_reference() == number {
            self.rare().shared.remove(&address);
        }
    }

    /// Takes out what was written of an arena; [`put_written`](Self::put_written) gives it back.
    pub(crate) fn take_written(&mut self, arena: u64) -> Option<Written> {
        self.rare.as_mut()?.written.remove(&arena)
    }

    pub(crate) fn put_written(&mut self, arena: u64, written: Written) {
        self.rare().written.insert(arena, written);
    }
}
