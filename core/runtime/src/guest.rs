//! Groups whose logs are kept elsewhere than in this node's write-ahead log. Whoever serves clients reaches them in the same way
//! as the node's own groups; other nodes' proposals reach them, too.

use std::rc::Rc;

use diwan_log::provider::Guest;

use crate::node::Node;

impl Node {
    /// From now on what is proposed to `group`, and what is read of it, is the guest's.
    pub fn host(&self, group: &str, guest: Rc<dyn Guest>) {
        self.guests.borrow_mut().insert(group.to_owned(), guest);
    }

    pub(crate) fn guest(&self, group: &str) -> Option<Rc<dyn Guest>> {
        self.guests.borrow().get(group).cloned()
    }

    /// The names of a group's members; nobody while this node is none of them.
    pub fn members(&self, group: &str) -> Vec<String> {
        if let Some(guest) = self.guest(group) {
            return guest.members();
        }
        let configuration = self.status(group).map(|status| status.configuration);
        let configuration = configuration.unwrap_or_default();
        let all = configuration.peers.iter().chain(&configuration.learners);
        all.map(ToString::to_string).collect()
    }
}
